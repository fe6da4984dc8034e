import { type Benchmark, quanto } from './harness/benchmark';

const contestants = [quanto('float32')];

// 8 million floats, beyond every cache of most machines; rows as long as those of real layers.
const wide = [2048, 4096];
const narrow = [65536, 128];
const FLOAT = 4;

/** An op, the shape it is run on, and the bytes that it must read and write for each element. */
const rows = [
  ['copy', wide, 2 * FLOAT],
  ['copy to one place', wide, 2 * FLOAT],
  ['neg', wide, 2 * FLOAT],
  ['relu', wide, 2 * FLOAT],
  ['exp', wide, 2 * FLOAT],
  ['gelu', wide, 2 * FLOAT],
  ['silu', wide, 2 * FLOAT],
  ['tanh', wide, 2 * FLOAT],
  ['add', wide, 3 * FLOAT],
  ['add in place', wide, 3 * FLOAT],
  ['mul by a number', wide, 2 * FLOAT],
  ['add a row', wide, 2 * FLOAT],
  ['sum of all', wide, FLOAT],
  ['sum of rows', wide, FLOAT],
  ['softmax', narrow, 2 * FLOAT],
  ['softmax', wide, 2 * FLOAT],
  ['layer norm', [21845, 384], 2 * FLOAT],
  ['layer norm', wide, 2 * FLOAT],
  ['rms norm', wide, 2 * FLOAT],
  ['batch norm', [64, 32, 64, 64], 2 * FLOAT],
  ['quantize', wide, FLOAT + 1],
  ['dequantize', wide, FLOAT + 1],
  ['relu of codes', wide, 2],
  ['transpose', wide, 2 * FLOAT],
] as const;

const elements = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

export const ops: Benchmark = {
  name: 'ops',
  summary: 'elementwise ops, reductions and norms on 8 million elements, beside the bandwidth of memcpy in the same run',
  contestants,
  ratios: [],
  cases: rows.map(([op, shape, bytes]) => ({
    parameters: { op, shape: shape.join(' x ') },
    workloads: { 'quanto float32': { name: 'op', op, shape } },
    bytes: bytes * elements(shape),
    largest: (op === 'relu of codes' ? 1 : FLOAT) * elements(shape),
  })),
};
