import { type Benchmark, quanto } from './harness/benchmark';

/** What a call costs beside its work: tensors so small that the work is nothing. */
export const overhead: Benchmark = {
  name: 'overhead',
  summary: 'calls whose work is nothing: tiny ops through JavaScript, and the forward of a small model',
  contestants: [quanto('float32')],
  ratios: [],
  cases: [
    'add of [4], disposed',
    'add of [4] under tidy',
    'add of [4], left to the garbage collector',
    'add of [4] with history',
    'reading [4]',
    'MLP 16-32-32-4, batch 1',
  ].map((call) => ({ parameters: { call }, workloads: { 'quanto float32': { name: 'call', call } } })),
  quick: () => true,
};
