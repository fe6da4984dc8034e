import type { Benchmark } from './harness/benchmark';

const LOAD = 'quanto loadQuantized';
const READ = 'reading the file';

/** Loading a frozen model, beside the plain reading of its file. */
export const load: Benchmark = {
  name: 'load',
  summary: 'loading a frozen model of linear layers, first forward included, beside reading its file; and its peak of memory',
  contestants: [
    { name: LOAD, program: 'load.ts' },
    { name: `quanto: ${READ}`, program: 'load.ts' },
  ],
  ratios: [{ of: LOAD, to: `quanto: ${READ}` }],
  cases: [8, 64].map((layers) => ({
    parameters: { layers, width: 1792 },
    workloads: {
      [LOAD]: { name: 'load', layers, width: 1792 },
      [`quanto: ${READ}`]: { name: 'read', layers, width: 1792 },
    },
  })),
};
