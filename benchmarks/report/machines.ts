// The checked-in results (benchmarks/results/<machine>/<benchmark>.json).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { BenchmarkResult } from '../harness/run';

export const resultsFolder = join(__dirname, '../results');

/** The results of one machine, in the order in which a reader wants them. */
export interface MachineResults {
  readonly folder: string;
  /** 'AMD EPYC, vnni': the processor and its widest instruction set. */
  readonly title: string;
  readonly date: string;
  readonly results: readonly BenchmarkResult[];
}

/** What is timed in the benchmarks that have rivals. */
export const subjects: Readonly<Record<string, string>> = {
  bert: 'encoder',
  linear: 'linear layer',
  conv: 'ResNet-20',
  train: 'training step',
};

const order = ['bert', 'linear', 'conv', 'train', 'ops', 'overhead', 'load'];

function readMachine(folder: string): MachineResults {
  const results = readdirSync(join(resultsFolder, folder))
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(join(resultsFolder, folder, file), 'utf8')) as BenchmarkResult)
    .sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const { cpu, kernels } = results[0].machine;
  const isa = /isa=(\w+)/.exec(kernels)?.[1] ?? 'ref';
  return { folder, title: `${cpu}, ${isa}`, date: results.map(({ date }) => date.slice(0, 10)).sort()[0], results };
}

/** The newest results first. */
export function readMachines(): MachineResults[] {
  return readdirSync(resultsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => readMachine(name))
    .sort((a, b) => b.date.localeCompare(a.date));
}
