// All ratios and figures of a machine, as tables in Markdown.
import type { Ratio } from '../harness/benchmark';
import { geometricMean, speedup } from '../harness/compare';
import { bandwidthFor } from '../harness/machine';
import { type BenchmarkResult, label } from '../harness/run';
import type { MachineResults } from './machines';

/** How many times as fast one contestant is as another in each case in which both took part, the slowest case first. */
export function speedups(result: BenchmarkResult, { of, to }: Ratio): { value: number; name: string }[] {
  return result.results
    .flatMap((one) => {
      const value = speedup(one, of, to);
      return value === null ? [] : [{ value, name: label(one.parameters) }];
    })
    .sort((a, b) => a.value - b.value);
}

function ratioRow(result: BenchmarkResult, ratio: Ratio): string[] {
  const values = speedups(result, ratio);
  if (values.length === 0) return [];
  const show = ({ value, name }: { value: number; name: string }) => `${value.toFixed(2)} (${name})`;
  const mean = geometricMean(values.map(({ value }) => value)).toFixed(2);
  return [`| ${ratio.of} over ${ratio.to} | ${mean} | ${show(values[0])} | ${show(values.at(-1)!)} | ${values.length} |`];
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

/** What was measured where. */
export function conditions({ results }: MachineResults): string {
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
  return `On ${date.slice(0, 10)}: ${machine.cpu}, ${machine.threads} threads, Node ${machine.node.slice(1)}, kernels ${machine.kernels}; measured peaks in GOP/s: ${peaks.join(', ')}.${rivals.length > 0 ? ` Rivals: ${rivals.join(', ')}.` : ''}`;
}

/** The section of one machine. */
export function machineSection(machine: MachineResults): string {
  return [`## ${machine.title}`, conditions(machine), ...machine.results.map(section)].join('\n\n');
}
