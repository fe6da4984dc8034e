// npm run bench:report: makes the README's performance section from the checked-in results (benchmarks/results/<machine>/<benchmark>.json).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { geometricMean, speedup } from './harness/compare';
import type { Ratio } from './harness/benchmark';
import { bandwidthFor } from './harness/machine';
import { type BenchmarkResult, label } from './harness/run';

const root = join(__dirname, '..');
const resultsFolder = join(root, 'benchmarks/results');
const readme = join(root, 'README.md');
const BEGIN = '<!-- benchmarks: made by `npm run bench:report` -->';
const END = '<!-- end of benchmarks -->';

/** The order in which a reader wants them. */
const order = ['bert', 'linear', 'conv', 'train', 'ops', 'overhead', 'load'];

function ratioRow(result: BenchmarkResult, { of, to }: Ratio): string[] {
  const values = result.results.flatMap((one) => {
    const value = speedup(one, of, to);
    return value === null ? [] : [{ value, name: label(one.parameters) }];
  });
  if (values.length === 0) return [];
  values.sort((a, b) => a.value - b.value);
  const show = ({ value, name }: { value: number; name: string }) => `${value.toFixed(2)} (${name})`;
  const mean = geometricMean(values.map(({ value }) => value)).toFixed(2);
  return [`| ${of} over ${to} | ${mean} | ${show(values[0])} | ${show(values.at(-1)!)} | ${values.length} |`];
}

function ratioTable(result: BenchmarkResult): string[] {
  const rows = result.ratios.flatMap((ratio) => ratioRow(result, ratio));
  return rows.length === 0 ? [] : ['| speed of | geometric mean | least | most | cases |', '| --- | --- | --- | --- | --- |', ...rows];
}

/** Without a rival the figures are shares of a limit, or plain facts. */
function figureTable({ name, results, limits }: BenchmarkResult): string[] {
  const rows = results.map(({ parameters, timings, bytes, largest }) => {
    const [timing] = timings;
    const what = Object.values(parameters).join(', ');
    if (bytes !== undefined) {
      const rate = bytes / timing.median / 1e6;
      const share = (100 * rate) / bandwidthFor(limits, largest ?? bytes / 2).copyGBs;
      return `| ${what} | ${rate.toFixed(1)} GB/s | ${share.toFixed(0)} % |`;
    }
    return `| ${what} | ${timing.median.toFixed(2)} us | |`;
  });
  const head = name === 'overhead' ? '| call | time | |' : '| op | rate | share of memcpy |';
  return [head, '| --- | --- | --- |', ...rows];
}

function loadTable({ results }: BenchmarkResult): string[] {
  const rows = results.map(({ parameters, timings }) => {
    const [{ facts, median }] = timings;
    const megabytes = (bytes: unknown) => `${(Number(bytes) / 1e6).toFixed(0)} MB`;
    return `| ${label(parameters)} | ${megabytes(facts.fileBytes)} | ${median.toFixed(0)} ms | ${Number(facts.peakOverFile).toFixed(2)} |`;
  });
  return ['| model | file | load and first forward | peak memory / file |', '| --- | --- | --- | --- |', ...rows];
}

function section(result: BenchmarkResult): string {
  const table = result.name === 'load' ? loadTable(result) : result.ratios.length > 0 ? ratioTable(result) : figureTable(result);
  return [`**${result.name}**: ${result.summary}.`, '', ...table].join('\n');
}

/** The section of one machine. */
function machineSection(results: readonly BenchmarkResult[]): string {
  const [{ machine, date }] = results;
  const versions = Object.assign({}, ...results.map((result) => result.versions)) as Record<string, string>;
  // Each run measures them; on a shared machine the best run is nearest to the limit.
  const best = new Map<string, number>();
  for (const { limits } of results) {
    for (const [name, gops] of Object.entries(limits.peakGops)) best.set(name, Math.max(gops, best.get(name) ?? 0));
  }
  const peaks = [...best].map(([name, gops]) => `${name} ${gops.toFixed(0)}`);
  const rivals = Object.entries(versions)
    .filter(([name]) => name !== 'quanto' && name !== 'node')
    .map(([name, version]) => `${name} ${version}`);
  return [
    `On ${date.slice(0, 10)}: ${machine.cpu}, ${machine.threads} threads, Node ${machine.node.slice(1)}, kernels ${machine.kernels}; measured peaks in GOP/s: ${peaks.join(', ')}.${rivals.length > 0 ? ` Rivals: ${rivals.join(', ')}.` : ''}`,
    ...results.map(section),
  ].join('\n\n');
}

/** The text between the markers of the README. */
export function performanceSection(): string {
  const machines = readdirSync(resultsFolder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const sections = machines.map(({ name }) => {
    const folder = join(resultsFolder, name);
    const results = readdirSync(folder)
      .filter((file) => file.endsWith('.json'))
      .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as BenchmarkResult)
      .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    return machineSection(results);
  });
  return sections.join('\n\n');
}

/** The README with the section as the results have it now; prettier aligns its tables afterwards. */
export function updatedReadme(): string {
  const text = readFileSync(readme, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md lacks the markers ${BEGIN} and ${END}`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${performanceSection()}\n\n${text.slice(end)}`;
}

if (require.main === module) writeFileSync(readme, updatedReadme());
