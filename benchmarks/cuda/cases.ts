// What is timed on a GPU: linear layers and the encoder, each in floats and quantized.
import type { Device } from 'quanto';

import type { Benchmark, BenchmarkCase } from '../harness/benchmark';
import { inEachPrecision, quanto } from '../harness/benchmark';
import type { EncoderShape } from '../models/encoder';
import { encoderShape, linearOperations } from '../models/encoder-shape';
import type { Product } from './card';

interface Kind {
  /** The type of elements whose product is the limit. */
  readonly product: Product;
  readonly weightBytes: number;
  readonly activationBytes: number;
}

/** The precisions by name. The floats beside integers are float16. */
export const kinds: Readonly<Record<string, Kind>> = {
  float32: { product: 'float32', weightBytes: 4, activationBytes: 4 },
  float16: { product: 'float16', weightBytes: 2, activationBytes: 2 },
  bfloat16: { product: 'bfloat16', weightBytes: 2, activationBytes: 2 },
  W8: { product: 'float16', weightBytes: 1, activationBytes: 2 },
  W8A8: { product: 'int8', weightBytes: 1, activationBytes: 2 },
  'W8A8 dynamic': { product: 'int8', weightBytes: 1, activationBytes: 2 },
  // Half a byte, and for 32 of them a scale and a shift of 2 bytes each.
  W4: { product: 'float16', weightBytes: 0.625, activationBytes: 2 },
  'W4A8 dynamic': { product: 'int8', weightBytes: 0.625, activationBytes: 2 },
};

const contestants = Object.keys(kinds).map(quanto);
const ratios = [
  { of: 'quanto float16', to: 'quanto float32' },
  { of: 'quanto W8', to: 'quanto float16' },
  { of: 'quanto W8A8', to: 'quanto float16' },
  { of: 'quanto W8A8 dynamic', to: 'quanto float16' },
  { of: 'quanto W4', to: 'quanto float16' },
  { of: 'quanto W4A8 dynamic', to: 'quanto float16' },
];

export interface CudaCase extends BenchmarkCase {
  readonly operations: number;
  /** Bytes that must cross the card's memory at least once: weights, input and output. */
  readonly bytesOf: (kind: Kind) => number;
}
export interface CudaBenchmark extends Benchmark {
  readonly cases: readonly CudaCase[];
}

/** So many calls that a run takes milliseconds, and few where one does. */
const callsFor = (operations: number, quick: boolean): number => (quick ? 2 : Math.min(50, Math.max(1, Math.round(1e12 / operations))));

// [K, N] of transformer layers; the last one's integer weights are larger than the caches of today's cards.
const layers = [
  [768, 3072],
  [4096, 4096],
  [4096, 14336],
  [8192, 8192],
] as const;
const rows = [1, 8, 16, 128, 1024, 8192];

function linear(device: Device, quick: boolean): CudaBenchmark {
  const shapes = quick ? [[1, 64, 32] as const, [20, 64, 32] as const] : layers.flatMap(([k, n]) => rows.map((m) => [m, k, n] as const));
  return {
    name: 'linear',
    summary: 'one linear layer [M, K] -> [M, N] with bias',
    contestants,
    ratios,
    cases: shapes.map(([m, k, n]) => {
      const operations = 2 * m * n * k;
      return {
        parameters: { k, n, m },
        workloads: inEachPrecision(contestants, { name: 'linear', m, k, n, device, calls: callsFor(operations, quick) }),
        operations,
        bytesOf: ({ weightBytes, activationBytes }) => n * k * weightBytes + (m * k + m * n) * activationBytes,
      };
    }),
    quick: () => true,
  };
}

const tinyEncoder: EncoderShape = { layers: 1, hidden: 16, heads: 2, intermediate: 32 };

function encoder(device: Device, quick: boolean): CudaBenchmark {
  const shape = quick ? tinyEncoder : encoderShape;
  const sizes = quick
    ? [[1, 4] as const]
    : ([
        [1, 16],
        [1, 128],
        [8, 128],
        [64, 128],
        [64, 512],
      ] as const);
  return {
    name: 'encoder',
    summary: `a BERT encoder: ${Object.entries(shape)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}; operations and bytes are those of its linear layers`,
    contestants,
    ratios,
    cases: sizes.map(([batch, length]) => {
      const operations = batch * length * linearOperations(shape);
      return {
        parameters: { batch, length },
        workloads: inEachPrecision(contestants, { name: 'encoder', batch, length, ...shape, device, calls: callsFor(operations, quick) }),
        operations,
        bytesOf: ({ weightBytes, activationBytes }) =>
          (linearOperations(shape) / 2) * weightBytes + 2 * batch * length * shape.hidden * activationBytes,
      };
    }),
    quick: () => true,
  };
}

/** The benchmarks of a device; `quick` makes the shapes tiny. */
export const cudaBenchmarks = (device: Device, quick: boolean): readonly CudaBenchmark[] => [linear(device, quick), encoder(device, quick)];
