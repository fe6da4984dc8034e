import * as ops from '../../lib/ops';
import type { DType } from '../../lib/tensor/dtype';
import type { Case, Failure } from '../harness/case';
import { normal, oneOf, uniform } from '../harness/random';
import { convertTo, roundTo } from '../harness/rounding';

const all: readonly DType[] = [
  'float32',
  'float16',
  'bfloat16',
  'int8',
  'uint8',
  'int32',
  'int64',
  'bool',
  'float8_e4m3fn',
  'float8_e4m3fnuz',
  'float8_e5m2',
];

// Halves, both ends of every dtype, and what none can hold.
const edges = oneOf(
  0,
  -0,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  127,
  128,
  -128,
  -129,
  255,
  256,
  448,
  480,
  1e6,
  -1e6,
  65504,
  65520,
  3e9,
  -3e9,
  2 ** -9,
  2 ** -10,
  2 ** -24,
);

/** From float32 to every dtype, and from every dtype to every other. */
const conversions = all.flatMap((from) =>
  all
    .filter((target) => target !== from)
    .map((target): Case => ({
      family: 'convert',
      name: `${from} to ${target}`,
      inputs: [{ shape: [8, 33], dtype: from, domain: edges }],
      run: (x) => ops.to(x, target),
      reference: (x) => x.map((value) => convertTo(target, from, value)),
      output: target,
      roundings: 0,
      halfRoundings: false,
      gradient: false,
    })),
);

const copies: readonly Case[] = [
  { family: 'convert', name: 'clone', inputs: [{ shape: [3, 4] }], run: ops.clone, reference: (x) => x, roundings: 0, empty: [[0, 4]] },
  {
    family: 'convert',
    name: 'contiguous',
    inputs: [{ shape: [3, 4] }],
    run: ops.contiguous,
    reference: (x) => x,
    roundings: 0,
    empty: [[0, 4]],
  },
  {
    family: 'convert',
    name: 'to the same dtype',
    inputs: [{ shape: [3, 4] }],
    run: (x) => ops.to(x, 'float32'),
    reference: (x) => x,
    output: 'float32',
    roundings: 0,
    halfRoundings: 0,
  },
  { family: 'convert', name: 'to the cpu', inputs: [{ shape: [3, 4] }], run: ops.cpu, reference: (x) => x, roundings: 0 },
  {
    family: 'convert',
    name: 'float',
    inputs: [{ shape: [3, 4], domain: normal }],
    run: ops.float,
    reference: (x) => x,
    output: 'float32',
    roundings: 0,
  },
  {
    family: 'convert',
    name: 'half',
    inputs: [{ shape: [3, 4], domain: uniform(-9, 9) }],
    run: ops.half,
    reference: (x) => x.map((value) => roundTo('float16', value)),
    output: 'float16',
    roundings: 0,
    gradient: false,
  },
];

/** Gradients come back in the dtype of their tensor. */
const gradients = (['float16', 'bfloat16'] as const).map((dtype): Case => ({
  family: 'convert',
  name: `gradient to ${dtype}`,
  inputs: [{ shape: [4, 5], dtype }],
  run: (x) => ops.square(ops.float(x)),
  reference: (x) => x.map((value) => value * value),
  output: 'float32',
  halfRoundings: false,
}));

export const convertCases: readonly Case[] = [...conversions, ...copies, ...gradients];

export const convertFailures: readonly Failure[] = [
  {
    family: 'convert',
    name: 'an unknown dtype',
    run: () => ops.to(ops.zeros([2]), 'float64'),
    code: 'INVALID_ARGUMENT',
    message: /float64/,
  },
  {
    family: 'convert',
    name: 'a device that is not there',
    run: () => ops.to(ops.zeros([2]), 'cuda:99'),
    code: 'DEVICE_UNAVAILABLE',
    message: /cuda:99/,
  },
];
