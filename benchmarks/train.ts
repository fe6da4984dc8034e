import { type Benchmark, MODEL_WARM_UP, quanto } from './harness/benchmark';
import type { ContestantOptions } from './harness/contestant';
import { encoderShape } from './models/encoder-shape';
import type { Workload } from './harness/protocol';

const tfjs: ContestantOptions = { name: 'tfjs WASM', program: 'tfjs.ts' };

/** One training step; PyTorch takes part where a Python that has it is named. */
export function train(python?: string): Benchmark {
  const torch: readonly ContestantOptions[] = python ? [{ name: 'PyTorch', program: 'torch_peer.py', python }] : [];
  const contestants = [quanto('float32'), quanto('W8A8'), ...torch, tfjs];
  const workloads = (workload: Workload, names: readonly string[]): Record<string, Workload> =>
    Object.fromEntries(names.map((name) => [name, { ...workload, precision: name === 'quanto W8A8' ? 'W8A8' : 'float32' }]));
  return {
    name: 'train',
    summary: 'one training step with AdamW, in float and quantization-aware: an MLP 784-512-512-10, and the encoder',
    contestants,
    ratios: [
      { of: 'quanto float32', to: 'PyTorch' },
      { of: 'quanto float32', to: 'tfjs WASM' },
      { of: 'quanto W8A8', to: 'quanto float32' },
    ],
    cases: [
      {
        parameters: { model: 'MLP', batch: 128 },
        workloads: workloads(
          { name: 'train mlp', warmUp: MODEL_WARM_UP, batch: 128 },
          contestants.map(({ name }) => name),
        ),
      },
      {
        parameters: { model: 'encoder', batch: 8, length: 128 },
        workloads: workloads(
          { name: 'train encoder', warmUp: MODEL_WARM_UP, batch: 8, length: 128, ...encoderShape },
          contestants.map(({ name }) => name).filter((name) => name !== tfjs.name),
        ),
      },
    ],
  };
}
