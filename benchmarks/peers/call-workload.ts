// Calls of the benchmark `overhead`. Each run is a thousand calls without a pause, so that neither the clock nor the event loop counts:
// the benchmark's milliseconds are microseconds a call.
import { models, noGrad, synchronize, tensor, type Tensor, tidy } from 'quanto';

import type { Workload } from '../harness/protocol';
import type { Prepared } from './serve';

const CALLS = 1000;

const a = tensor([1, 2, 3, 4]);
const b = tensor([5, 6, 7, 8]);
const leaf = tensor([1, 2, 3, 4], { requiresGrad: true });
const mlp = new models.MLP([16, 32, 32, 4]).eval();
const features = tensor(new Float32Array(16), { shape: [1, 16] });

const calls: Readonly<Record<string, () => unknown>> = {
  'add of [4], disposed': () => noGrad(() => a.add(b)).dispose(),
  'add of [4] under tidy': () => tidy(() => void a.add(b)),
  'add of [4], left to the garbage collector': () => a.add(b),
  'add of [4] with history': () => leaf.add(b).dispose(),
  'reading [4]': () => a.dataSync(),
  'MLP 16-32-32-4, batch 1': () => noGrad(() => tidy((): Tensor => mlp.forward(features))).dispose(),
};

export function prepareCall({ call }: Workload): Prepared {
  const body = calls[call as string];
  return {
    run: () => {
      for (let i = 0; i < CALLS; i++) body();
      synchronize();
      return Promise.resolve();
    },
    facts: { callsPerRun: CALLS },
  };
}
