// The figures that a reader of the README looks for: one column a machine.
import type { Ratio } from '../harness/benchmark';
import { geometricMean } from '../harness/compare';
import type { BenchmarkResult } from '../harness/run';
import { type MachineResults, subjects } from './machines';
import { speedups } from './tables';

function cell(result: BenchmarkResult | undefined, ratio: Ratio): string {
  const values = result ? speedups(result, ratio).map(({ value }) => value) : [];
  return values.length === 0 ? '' : geometricMean(values).toFixed(2);
}

/** Geometric means of the cases of every ratio, in the order of the newest results. */
export function summaryTable(machines: readonly MachineResults[]): string {
  const rows = machines[0].results
    .filter(({ name }) => name in subjects)
    .flatMap(({ name, ratios }) =>
      ratios.map((ratio) => {
        const cells = machines.map(({ results }) =>
          cell(
            results.find((result) => result.name === name),
            ratio,
          ),
        );
        return `| ${subjects[name]}: ${ratio.of} over ${ratio.to} | ${cells.join(' | ')} |`;
      }),
    );
  const heads = machines.map(({ title, date }) => `${title}, ${date}`);
  return [`| speed of | ${heads.join(' | ')} |`, `| --- |${' --- |'.repeat(machines.length)}`, ...rows].join('\n');
}
