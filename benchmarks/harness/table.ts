import Table from 'cli-table3';

import { geometricMean, speedup } from './compare';
import { bandwidthFor, type Limits } from './machine';
import { type BenchmarkResult, label } from './run';

const microseconds = (milliseconds: number) =>
  milliseconds < 1 ? `${(milliseconds * 1000).toFixed(milliseconds < 0.1 ? 1 : 0)} us` : `${milliseconds.toFixed(2)} ms`;

/** 'quanto float32 / onnxruntime float32' */
export const ratioName = ({ of, to }: { of: string; to: string }): string => `${of} / ${to}`;

/** Rows of a case: medians, then ratios of speed. */
export function rowsOf({ results, ratios, limits }: BenchmarkResult): { heads: string[]; rows: string[][] } {
  const names = [...new Set(results.flatMap(({ timings }) => timings.map(({ contestant }) => contestant)))];
  const present = ratios.filter((ratio) => results.some((result) => speedup(result, ratio.of, ratio.to) !== null));
  const hasOperations = results.some(({ operations }) => operations !== undefined);
  const hasBytes = results.some(({ bytes }) => bytes !== undefined);
  const best = (result: (typeof results)[number]) => Math.min(...result.timings.filter(isOurs).map(({ median }) => median));
  const rows = results.map((result) => {
    const byName = new Map(result.timings.map(({ contestant, median }) => [contestant, median]));
    return [
      label(result.parameters),
      ...names.map((name) => (byName.has(name) ? microseconds(byName.get(name)!) : '-')),
      ...(hasOperations ? [((result.operations ?? 0) / best(result) / 1e6).toFixed(0)] : []),
      ...(hasBytes ? [shareOfCopy(result, best(result), limits)] : []),
      ...present.map(({ of, to }) => speedup(result, of, to)?.toFixed(2) ?? '-'),
    ];
  });
  const heads = [
    'case',
    ...names,
    ...(hasOperations ? ['best GOP/s'] : []),
    ...(hasBytes ? ['GB/s (share of copy)'] : []),
    ...present.map((ratio) => `speed of ${ratioName(ratio)}`),
  ];
  return { heads, rows };
}

const isOurs = ({ contestant }: { contestant: string }) => contestant.startsWith('quanto');

function shareOfCopy({ bytes, largest }: BenchmarkResult['results'][number], milliseconds: number, limits: Limits): string {
  if (bytes === undefined) return '-';
  const rate = bytes / milliseconds / 1e6;
  return `${rate.toFixed(1)} (${((100 * rate) / bandwidthFor(limits, largest ?? bytes / 2).copyGBs).toFixed(0)} %)`;
}

/** The result as people read it: a table, the geometric mean of each ratio, the limits and who could not take part. */
export function describe(result: BenchmarkResult): string {
  const { heads, rows } = rowsOf(result);
  // One word a line keeps many columns on a screen.
  const table = new Table({ head: heads.map((head) => head.replaceAll(' ', '\n')), style: { head: [], border: [], compact: true } });
  table.push(...rows);
  const means = result.ratios.flatMap((ratio) => {
    const values = result.results.flatMap((one) => speedup(one, ratio.of, ratio.to) ?? []);
    if (values.length === 0) return [];
    const least = Math.min(...values).toFixed(2);
    return [`speed of ${ratioName(ratio)}: ${geometricMean(values).toFixed(2)} in the geometric mean, ${least} at least`];
  });
  const absences = new Set(result.results.flatMap(({ absent }) => Object.entries(absent).map(([name, reason]) => `${name}: ${reason}`)));
  const peaks = Object.entries(result.limits.peakGops).map(([name, value]) => `${name} ${value.toFixed(0)}`);
  return [
    table.toString(),
    ...means,
    `peaks of multiply-adds, GOP/s of ${result.limits.threads} threads: ${peaks.join(', ')}`,
    ...[...absences].map((absence) => `could not run: ${absence}`),
    `${result.machine.cpu}, ${result.machine.threads} threads, ${result.machine.kernels}; ${Object.entries(result.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
  ].join('\n');
}
