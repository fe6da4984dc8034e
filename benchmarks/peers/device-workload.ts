// Workloads on a device of its own memory: calls in a row that are waited for together, because the way of a result to the host is no part
// of them, and the products and copies that its limits are measured with.
import { type Device, manualSeed, nn, noGrad, randint, randn, type Tensor, zeros } from 'quanto';

import type { Workload } from '../harness/protocol';
import type { Prepared } from './serve';

/** Waits until the device has made a tensor, by reading its first element. */
export async function made(tensor: Tensor): Promise<void> {
  using flat = tensor.flatten();
  using first = flat.slice(0, 0, 1);
  await first.data();
}

/** `calls` results without a pause; the last one is waited for, and with it all before. */
export function onDevice(forward: () => Tensor, calls: number): Prepared {
  return {
    calls,
    run: async () => {
      for (let i = 1; i < calls; i++) forward().dispose();
      using last = forward();
      await made(last);
    },
    facts: { calls },
  };
}

interface PeakWorkload extends Workload {
  readonly device: Device;
  readonly calls: number;
  /** What is measured: a square product of the type, or a copy. */
  readonly of: 'int8' | 'float16' | 'bfloat16' | 'float32' | 'copy';
  /** Rows of the square matrices, or bytes to copy. */
  readonly size: number;
}

/** A large product, or a copy of dense memory. */
export function preparePeak(workload: Workload): Prepared {
  const { device, calls, of, size } = workload as PeakWorkload;
  manualSeed(1);
  if (of === 'copy') {
    const src = zeros([size], { dtype: 'uint8', device });
    return { ...onDevice(() => noGrad(() => src.clone()), calls), dispose: () => src.dispose() };
  }
  // Random numbers: zeros need less power, and so let the clock run faster than any real product does.
  const matrix = () =>
    of === 'int8' ? randint(-127, 128, [size, size], { dtype: of, device }) : randn([size, size], { dtype: of, device });
  const [a, weight] = [matrix(), matrix()];
  const b = weight.t();
  const product = () => noGrad(() => (of === 'int8' ? nn.functional.intMatmul(a, b) : a.matmul(b)));
  return { ...onDevice(product, calls), dispose: () => [a, b, weight].forEach((tensor) => tensor.dispose()) };
}
