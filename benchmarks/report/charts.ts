// The plots beside the tables, as SVG.
import { init } from 'echarts';

import { geometricMean, speedup } from '../harness/compare';
import type { BenchmarkResult } from '../harness/run';
import { type MachineResults, subjects } from './machines';

const size = { width: 960, height: 380 };

/** A line of ratios over one parameter, or bars of them; 1 is where both are as fast. */
interface Plot {
  readonly title: string;
  readonly type: 'line' | 'bar';
  readonly xName: string;
  readonly categories: readonly string[];
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
}

function draw({ title, type, xName, categories, series }: Plot): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...size });
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    title: { text: title, left: 'center', top: 8, textStyle: { fontSize: 14 } },
    // Fonts differ in width from what is assumed here, so there is room to spare.
    legend: { top: 34, itemGap: 22, itemWidth: 18, textStyle: { fontSize: 11 }, data: series.map(({ name }) => name) },
    grid: { top: 92, left: 56, right: 24, bottom: 52 },
    xAxis: {
      type: 'category',
      data: [...categories],
      name: xName,
      nameLocation: 'middle',
      nameGap: 30,
      axisLabel: { interval: 0, fontSize: 10 },
    },
    yAxis: { type: 'value', name: 'times as fast', min: 0 },
    series: series.map(({ name, values }, i) => ({
      name,
      type,
      data: [...values],
      // One line for all of them.
      markLine: i === 0 ? { symbol: 'none', silent: true, label: { show: false }, data: [{ yAxis: 1 }], lineStyle: { color: '#555' } } : {},
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

const linearRatios = [
  { name: 'float32 / onnxruntime float32', of: 'quanto float32', to: 'onnxruntime float32' },
  { name: 'W8 / onnxruntime float32', of: 'quanto W8', to: 'onnxruntime float32' },
  { name: 'W8 high / onnxruntime float32', of: 'quanto W8 high', to: 'onnxruntime float32' },
  { name: 'W8A8 / onnxruntime dynamic int8', of: 'quanto W8A8', to: 'onnxruntime dynamic int8' },
  { name: 'W8A8 / float32', of: 'quanto W8A8', to: 'quanto float32' },
];

function linearPlot({ results }: BenchmarkResult, title: string): Plot {
  const rows = [...new Set(results.map(({ parameters }) => Number(parameters.m)))].sort((a, b) => a - b);
  const mean = (m: number, of: string, to: string) => {
    const values = results.filter(({ parameters }) => parameters.m === m).flatMap((result) => speedup(result, of, to) ?? []);
    return values.length === 0 ? null : Number(geometricMean(values).toFixed(3));
  };
  const series = linearRatios.map(({ name, of, to }) => ({ name, values: rows.map((m) => mean(m, of, to)) }));
  return {
    title: `Linear layers, geometric mean of 7 shapes (${title})`,
    type: 'line',
    xName: 'rows of the input',
    categories: rows.map(String),
    series: series.filter(({ values }) => values.some((value) => value !== null)),
  };
}

const modelRatios = [
  { name: 'float32 / rival float32', of: 'quanto float32', to: ['onnxruntime float32', 'PyTorch'] },
  { name: 'W8A8 / onnxruntime int8', of: 'quanto W8A8', to: ['onnxruntime dynamic int8', 'onnxruntime static int8'] },
  { name: 'W8A8 / float32', of: 'quanto W8A8', to: ['quanto float32'] },
];
const models = ['bert', 'conv', 'train'];

function modelPlot(results: readonly BenchmarkResult[], title: string): Plot {
  const cases = results.flatMap((result) =>
    models.includes(result.name) ? result.results.map((one) => ({ one, model: subjects[result.name] })) : [],
  );
  const categories = cases.map(({ one: { parameters }, model }) => `${model}\n${Object.values(parameters).join(' x ')}`);
  const series = modelRatios.map(({ name, of, to }) => ({
    name,
    values: cases.map(({ one }) => {
      const [value] = to.flatMap((rival) => speedup(one, of, rival) ?? []);
      return value === undefined ? null : Number(value.toFixed(3));
    }),
  }));
  return { title: `Models (${title})`, type: 'bar', xName: '', categories, series };
}

/** The plots of a machine by file name. */
export function plots({ title, results }: MachineResults): Record<string, string> {
  const linear = results.find(({ name }) => name === 'linear');
  return {
    'models.svg': draw(modelPlot(results, title)),
    ...(linear && { 'linear.svg': draw(linearPlot(linear, title)) }),
  };
}
