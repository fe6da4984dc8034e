import * as ops from '../../lib/ops';
import type { DType } from '../../lib/tensor/dtype';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { type NdArray, type Shape, total } from '../harness/ndarray';
import { type Domain, integers, uniform } from '../harness/random';

type Fold = (values: number[]) => number;

const meanOf: Fold = (values) => total(values) / values.length;
const varianceOf =
  (correction: number): Fold =>
  (values) => {
    const mean = meanOf(values);
    return total(values.map((value) => (value - mean) ** 2)) / (values.length - correction);
  };
/** The mean's own rounding error enters the variance squared. */
const varianceMagnitude: Fold = (values) => varianceOf(0)(values) + (meanOf(values) * 2 ** -10) ** 2;
const sumOfMagnitudes: Fold = (values) => total(values.map(Math.abs));
const largestOf: Fold = (values) => (values.some(Number.isNaN) ? NaN : values.reduce((a, b) => Math.max(a, b), -Infinity));
const smallestOf: Fold = (values) => -largestOf(values.map((value) => -value));

interface Row {
  readonly name: string;
  readonly run: (src: Tensor, options?: ops.ReduceOptions) => Tensor;
  readonly fold: Fold;
  /** What the roundings of a fold are relative to. */
  readonly magnitude?: Fold;
  readonly roundings?: number;
  readonly output?: DType;
  readonly gradient?: boolean;
  /** Whether a fold of nothing has a value. */
  readonly empty?: boolean;
}

const rows: readonly Row[] = [
  { name: 'sum', run: ops.sum, fold: total, magnitude: sumOfMagnitudes, empty: true },
  { name: 'mean', run: ops.mean, fold: meanOf, magnitude: (values) => sumOfMagnitudes(values) / values.length, empty: true },
  { name: 'max', run: ops.max, fold: largestOf, roundings: 0 },
  { name: 'min', run: ops.min, fold: smallestOf, roundings: 0 },
  { name: 'absmax', run: ops.absmax, fold: (values) => largestOf(values.map(Math.abs)), roundings: 0, gradient: false },
  { name: 'var', run: ops.var, fold: varianceOf(1), magnitude: varianceMagnitude, roundings: 16 },
  {
    name: 'var correction 0',
    run: (x, options) => ops.var(x, { correction: 0, ...options }),
    fold: varianceOf(0),
    magnitude: varianceMagnitude,
    roundings: 16,
  },
  {
    name: 'logsumexp',
    run: ops.logsumexp,
    fold: (values) => Math.log(total(values.map(Math.exp))),
    magnitude: (values) => largestOf(values.map(Math.abs)) + Math.log(values.length),
  },
  { name: 'any', run: ops.any, fold: (values) => Number(values.some((value) => value !== 0)), output: 'bool', empty: true },
  { name: 'all', run: ops.all, fold: (values) => Number(values.every((value) => value !== 0)), output: 'bool', empty: true },
];

const foldsOfShape: Readonly<Record<string, { shape: Shape; options?: ops.ReduceOptions; axes: readonly number[] }>> = {
  all: { shape: [3, 4, 5], axes: [0, 1, 2] },
  'axis=0': { shape: [3, 4, 5], options: { axis: 0 }, axes: [0] },
  'axis=1': { shape: [3, 4, 5], options: { axis: 1 }, axes: [1] },
  'axis=-1': { shape: [3, 4, 5], options: { axis: -1 }, axes: [2] },
  'axis=0,2': { shape: [3, 4, 5], options: { axis: [0, 2] }, axes: [0, 2] },
  'axis=1 keepdim': { shape: [3, 4, 5], options: { axis: 1, keepdim: true }, axes: [1] },
  'all keepdim': { shape: [4, 5], options: { keepdim: true }, axes: [0, 1] },
  'row of 127': { shape: [2, 127], options: { axis: 1 }, axes: [1] },
  'column of 65': { shape: [65, 3], options: { axis: 0 }, axes: [0] },
};

const folds = rows.flatMap(({ name, run, fold, magnitude, roundings, output, gradient, empty }) =>
  Object.entries(foldsOfShape).map(([how, { shape, options, axes }]): Case => {
    const keepdim = options?.keepdim ?? false;
    return {
      family: 'reduce',
      name: `${name} ${how}`,
      inputs: [{ shape, domain: output === 'bool' ? integers(0, 1) : undefined }],
      run: (x) => run(x, options),
      reference: (x) => x.fold(axes, keepdim, fold),
      magnitude: magnitude && ((x) => x.fold(axes, keepdim, magnitude)),
      roundings,
      output,
      gradient,
      empty: empty && how === 'axis=1' ? [[3, 0, 5]] : undefined,
    };
  }),
);

/** Sums of many terms: the error grows with the depth of the summation tree, not with the count. */
const large = rows
  .filter(({ name }) => ['sum', 'mean', 'max', 'var', 'logsumexp'].includes(name))
  .flatMap(({ name, run, fold, magnitude }) =>
    (
      [
        ['rows', [3, 20011], 1],
        ['columns', [20011, 3], 0],
      ] as const
    ).map(([how, shape, axis]): Case => ({
      family: 'reduce',
      name: `${name} of 20011 in ${how}`,
      inputs: [{ shape, domain: uniform(-1, 2) }],
      run: (x) => run(x, { axis }),
      reference: (x) => x.fold([axis], false, fold),
      magnitude: magnitude && ((x) => x.fold([axis], false, magnitude)),
      roundings: 24,
      gradient: false,
    })),
  );

/** A number of an axis instead of options. */
const short: readonly Case[] = [
  { run: (x: Tensor) => ops.sum(x, 1), name: 'sum by number', fold: total },
  { run: (x: Tensor) => ops.sum(x, [1]), name: 'sum by array', fold: total },
].map(({ run, name, fold }) => ({
  family: 'reduce',
  name,
  inputs: [{ shape: [4, 5] }],
  run,
  reference: (x) => x.fold([1], false, fold),
  magnitude: (x) => x.fold([1], false, sumOfMagnitudes),
}));

/** Integers and bool: sums are int64, means float32, extremes keep the dtype. */
const typed = (
  [
    ['sum int8', ops.sum, 'int8', 'int64', total],
    ['sum bool', ops.sum, 'bool', 'int64', total],
    ['mean int32', ops.mean, 'int32', 'float32', meanOf],
    ['max uint8', ops.max, 'uint8', 'uint8', largestOf],
    ['min int64', ops.min, 'int64', 'int64', smallestOf],
    ['any int32', ops.any, 'int32', 'bool', (values) => Number(values.some((value) => value !== 0))],
  ] as readonly [string, (src: Tensor, axis: number) => Tensor, DType, DType, Fold][]
).map(([name, run, dtype, output, fold]): Case => ({
  family: 'reduce',
  name,
  inputs: [{ shape: [6, 9], dtype, domain: dtype === 'bool' ? integers(0, 1) : integers(0, 120) }],
  run: (x) => run(x, 1),
  reference: (x) => x.fold([1], false, fold),
  output,
  gradient: false,
}));

const firstIndexOf = (wanted: Fold): Fold => {
  return (values) => values.findIndex((value) => Object.is(value, wanted(values)) || value === wanted(values));
};

const ties: Domain = integers(-3, 3);
const withNaN: Domain = (random) => (random() < 0.2 ? NaN : ties(random));
const positions = (['argmax', 'argmin'] as const).flatMap((name) => {
  const fold = firstIndexOf(name === 'argmax' ? largestOf : smallestOf);
  const row = (how: string, shape: Shape, options: ops.ArgOptions, reference: (x: NdArray) => NdArray, domain = ties): Case => ({
    family: 'reduce',
    name: `${name} ${how}`,
    inputs: [{ shape, domain }],
    run: (x) => ops[name](x, options),
    reference,
    output: 'int64',
  });
  return [
    row('all', [4, 5], {}, (x) => x.fold([0, 1], false, fold)),
    row('axis=0', [4, 5], { axis: 0 }, (x) => x.fold([0], false, fold)),
    row('axis=-1 keepdim', [3, 4, 5], { axis: -1, keepdim: true }, (x) => x.fold([2], true, fold)),
    row('of 70', [5, 70], { axis: 1 }, (x) => x.fold([1], false, fold)),
    row('with NaN', [9, 6], { axis: 1 }, (x) => x.fold([1], false, fold), withNaN),
  ];
});

const runningSum = (values: number[]) => {
  let sum = 0;
  return values.map((value) => (sum += value));
};
const running = ([0, 1, -1] as const).map((axis): Case => ({
  family: 'reduce',
  name: `cumsum axis=${axis}`,
  inputs: [{ shape: [3, 17, 5] }],
  run: (x) => ops.cumsum(x, axis),
  reference: (x) => x.mapRows(axis < 0 ? 2 : axis, runningSum),
  magnitude: (x) => x.map(Math.abs).mapRows(axis < 0 ? 2 : axis, runningSum),
  roundings: 17,
  empty: [[3, 0, 5]],
}));

export const reduceCases: readonly Case[] = [...folds, ...large, ...short, ...typed, ...positions, ...running];

const x = () => ops.zeros([2, 3]);
export const reduceFailures: readonly Failure[] = [
  { family: 'reduce', name: 'an axis out of range', run: () => ops.sum(x(), 2), code: 'INVALID_ARGUMENT', message: /\[sum\].*-2 to 1.*2/ },
  { family: 'reduce', name: 'an axis named twice', run: () => ops.sum(x(), [0, -2]), code: 'INVALID_ARGUMENT' },
  { family: 'reduce', name: 'the largest of nothing', run: () => ops.max(ops.zeros([0, 3]), 0), code: 'INVALID_ARGUMENT' },
  { family: 'reduce', name: 'the place of the largest of nothing', run: () => ops.argmax(ops.zeros([0])), code: 'INVALID_ARGUMENT' },
  { family: 'reduce', name: 'a fraction as an axis', run: () => ops.cumsum(x(), 0.5), code: 'INVALID_ARGUMENT' },
];
