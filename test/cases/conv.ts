import * as ops from '../../lib/ops';
import type { Case, Failure } from '../harness/case';
import { NdArray, type Shape } from '../harness/ndarray';

type Numbers = readonly [number, number];
const pair = (value: ops.Pair): Numbers => (typeof value === 'number' ? [value, value] : value);

interface Window {
  readonly kernel: Numbers;
  readonly stride: Numbers;
  readonly padding: Numbers;
  readonly dilation: Numbers;
}

const outputSize = ({ kernel, stride, padding, dilation }: Window, size: number, dim: 0 | 1) =>
  Math.floor((size + 2 * padding[dim] - dilation[dim] * (kernel[dim] - 1) - 1) / stride[dim]) + 1;

/** The taps of the window at an output position that lie in the image: [row of the kernel, column, y, x]. */
function tapsAt({ kernel, stride, padding, dilation }: Window, [height, width]: Numbers, [row, column]: Numbers): number[][] {
  const taps: number[][] = [];
  for (let i = 0; i < kernel[0]; i++) {
    for (let j = 0; j < kernel[1]; j++) {
      const y = row * stride[0] - padding[0] + i * dilation[0];
      const x = column * stride[1] - padding[1] + j * dilation[1];
      if (y >= 0 && y < height && x >= 0 && x < width) taps.push([i, j, y, x]);
    }
  }
  return taps;
}

/** [C, H, W] runs as a batch of one. */
const asBatch = (src: NdArray) => (src.ndim === 3 ? src.reshape(1, ...src.shape) : src);
const asGiven = (out: NdArray, src: NdArray) => (src.ndim === 3 ? out.reshape(...out.shape.slice(1)) : out);

function windowOf(kernel: ops.Pair, { stride = 1, padding = 0, dilation = 1 }: ops.Conv2dOptions): Window {
  return { kernel: pair(kernel), stride: pair(stride), padding: pair(padding), dilation: pair(dilation) };
}

export function convShape(options: ops.Conv2dOptions, [batch, , height, width]: Shape, [outChannels, , kh, kw]: Shape): Shape {
  const window = windowOf([kh, kw], options);
  return [batch, outChannels, outputSize(window, height, 0), outputSize(window, width, 1)];
}

export const conv2d =
  (options: ops.Conv2dOptions) =>
  (given: NdArray, weight: NdArray, bias?: NdArray): NdArray => {
    const src = asBatch(given);
    const [, , height, width] = src.shape;
    const [outChannels, groupChannels, kh, kw] = weight.shape;
    const window = windowOf([kh, kw], options);
    const perGroup = outChannels / (options.groups ?? 1);
    const out = NdArray.from(convShape(options, src.shape, weight.shape), ([n, o, row, column]) => {
      let sum = bias?.at([o]) ?? 0;
      for (const [i, j, y, x] of tapsAt(window, [height, width], [row, column])) {
        for (let c = 0; c < groupChannels; c++)
          sum += src.at([n, Math.floor(o / perGroup) * groupChannels + c, y, x]) * weight.at([o, c, i, j]);
      }
      return sum;
    });
    return asGiven(out, given);
  };

const pool =
  (window: Window, fold: (values: number[]) => number) =>
  (given: NdArray): NdArray => {
    const src = asBatch(given);
    const [batch, channels, height, width] = src.shape;
    const shape = [batch, channels, outputSize(window, height, 0), outputSize(window, width, 1)];
    const out = NdArray.from(shape, ([n, c, row, column]) =>
      fold(tapsAt(window, [height, width], [row, column]).map(([, , y, x]) => src.at([n, c, y, x]))),
    );
    return asGiven(out, given);
  };

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
const absolute = (array: NdArray) => array.map(Math.abs);

interface ConvRow extends ops.Conv2dOptions {
  readonly name: string;
  readonly src: readonly number[];
  readonly weight: readonly number[];
  readonly bias?: boolean;
  readonly more?: Partial<Case>;
}

const convolutions = (
  [
    { name: 'plain', src: [2, 3, 6, 5], weight: [4, 3, 3, 3], more: { empty: [[0, 3, 6, 5], [4, 3, 3, 3], [4]] } },
    { name: 'without bias', src: [2, 3, 6, 5], weight: [4, 3, 3, 3], bias: false },
    { name: 'stride 2', src: [2, 3, 7, 6], weight: [4, 3, 3, 3], stride: 2, padding: 1 },
    { name: 'uneven', src: [1, 2, 9, 7], weight: [3, 2, 2, 3], stride: [3, 2], padding: [1, 2], dilation: [2, 1] },
    { name: 'dilation 2', src: [1, 2, 8, 8], weight: [3, 2, 3, 3], padding: 2, dilation: 2 },
    { name: 'groups', src: [2, 4, 5, 5], weight: [6, 2, 3, 3], padding: 1, groups: 2 },
    { name: 'depthwise', src: [2, 4, 5, 5], weight: [4, 1, 3, 3], padding: 1, groups: 4 },
    { name: 'pointwise', src: [2, 5, 3, 4], weight: [6, 5, 1, 1] },
    { name: 'pointwise stride 2', src: [2, 5, 5, 4], weight: [6, 5, 1, 1], stride: 2 },
    { name: 'of one image', src: [3, 6, 5], weight: [4, 3, 3, 3], padding: 1 },
    { name: 'kernel of the whole image', src: [2, 3, 4, 4], weight: [5, 3, 4, 4] },
    { name: 'large', src: [2, 16, 17, 15], weight: [33, 16, 3, 3], padding: 1, more: { gradient: false, strided: false } },
  ] satisfies ConvRow[] as ConvRow[]
).map(({ name, src, weight, bias = true, more, ...options }): Case => {
  const reference = conv2d(options);
  return {
    family: 'conv',
    name: `conv2d ${name}`,
    inputs: [{ shape: src }, { shape: weight }, ...(bias ? [{ shape: [weight[0]], optional: true }] : [])],
    run: (x, w, b) => ops.conv2d(x, w, b, options),
    reference,
    magnitude: (x, w, b?: NdArray) => reference(absolute(x), absolute(w), b && absolute(b)),
    // A sum of products for each output.
    roundings: weight.slice(1).reduce((product, size) => product * size, 1) + 2,
    ...more,
  };
});

const image = [2, 3, 7, 6] as const;
const pools = (
  [
    ['', 2, {}],
    [' stride 1', 3, { stride: 1 }],
    [' padding', 3, { stride: 2, padding: 1 }],
    [' uneven', [2, 3], { stride: [1, 2], padding: [1, 0] }],
  ] as readonly [string, ops.Pair, ops.PoolOptions][]
).flatMap(([how, kernel, options]): Case[] => {
  const window = windowOf(kernel, { stride: kernel, ...options });
  const [kh, kw] = window.kernel;
  const common = { family: 'conv', inputs: [{ shape: image }], roundings: 0 };
  const averaged = { roundings: kh * kw + 1, magnitude: (x: NdArray) => pool(window, (values) => sum(values.map(Math.abs)))(x) };
  return [
    {
      ...common,
      name: `maxPool2d${how}`,
      run: (x) => ops.maxPool2d(x, kernel, options),
      reference: pool(window, (values) => Math.max(...values)),
    },
    { ...common, ...averaged, name: `avgPool2d${how}`, run: (x) => ops.avgPool2d(x, kernel, options), reference: averageOfWindow(window) },
    {
      ...common,
      ...averaged,
      name: `avgPool2d${how} without padding`,
      run: (x) => ops.avgPool2d(x, kernel, { ...options, countIncludePad: false }),
      reference: pool(window, (values) => sum(values) / values.length),
    },
  ];
});

/** Padding counts as zeros. */
function averageOfWindow(window: Window): (src: NdArray) => NdArray {
  return pool(window, (values) => sum(values) / (window.kernel[0] * window.kernel[1]));
}

const dilated: Case = {
  family: 'conv',
  name: 'maxPool2d dilation',
  inputs: [{ shape: [1, 2, 9, 8] }],
  run: (x) => ops.maxPool2d(x, 3, { stride: 2, padding: 1, dilation: 2 }),
  reference: pool(windowOf(3, { stride: 2, padding: 1, dilation: 2 }), (values) => Math.max(...values)),
  roundings: 0,
};

const adaptive =
  ([rows, columns]: Numbers, fold = (values: number[]) => sum(values) / values.length) =>
  (given: NdArray): NdArray => {
    const src = asBatch(given);
    const [batch, channels, height, width] = src.shape;
    const out = NdArray.from([batch, channels, rows, columns], ([n, c, row, column]) => {
      const values: number[] = [];
      for (let y = Math.floor((row * height) / rows); y < Math.ceil(((row + 1) * height) / rows); y++) {
        for (let x = Math.floor((column * width) / columns); x < Math.ceil(((column + 1) * width) / columns); x++)
          values.push(src.at([n, c, y, x]));
      }
      return fold(values);
    });
    return asGiven(out, given);
  };

const adaptives = (
  [
    ['to 1', image, 1],
    ['to 3x2', image, [3, 2]],
    ['to more than there is', [1, 2, 3, 2], [5, 4]],
    ['of one image', [3, 7, 6], [4, 3]],
  ] as readonly [string, readonly number[], ops.Pair][]
).map(([how, shape, size]): Case => ({
  family: 'conv',
  name: `adaptiveAvgPool2d ${how}`,
  inputs: [{ shape }],
  run: (x) => ops.adaptiveAvgPool2d(x, size),
  reference: adaptive(pair(size)),
  magnitude: adaptive(pair(size), (values) => sum(values.map(Math.abs)) / values.length),
  roundings: 44,
}));

export const convCases: readonly Case[] = [...convolutions, ...pools, dilated, ...adaptives];

const x = () => ops.zeros([1, 2, 4, 4]);
const w = (...shape: number[]) => ops.zeros(shape);
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'conv',
  name,
  run,
  code,
  message,
});
export const convFailures: readonly Failure[] = [
  failure('a weight of other channels', () => ops.conv2d(x(), w(3, 3, 3, 3)), 'SHAPE_MISMATCH', /\[conv2d\]/),
  failure('a weight of two dimensions', () => ops.conv2d(x(), w(3, 2)), 'SHAPE_MISMATCH'),
  failure('an input of two dimensions', () => ops.conv2d(w(4, 4), w(3, 2, 3, 3)), 'SHAPE_MISMATCH'),
  failure('a kernel larger than the image', () => ops.conv2d(x(), w(3, 2, 5, 5)), 'SHAPE_MISMATCH'),
  failure('groups that do not divide', () => ops.conv2d(x(), w(3, 1, 3, 3), null, { groups: 2 }), 'SHAPE_MISMATCH'),
  failure('a stride of 0', () => ops.conv2d(x(), w(3, 2, 3, 3), null, { stride: 0 }), 'INVALID_ARGUMENT'),
  failure('a negative padding', () => ops.conv2d(x(), w(3, 2, 3, 3), null, { padding: -1 }), 'INVALID_ARGUMENT'),
  failure(
    'a stride of three numbers',
    () => ops.conv2d(x(), w(3, 2, 3, 3), null, { stride: [1, 2, 3] as never }),
    'INVALID_ARGUMENT',
    /stride/,
  ),
  failure('a bias of other size', () => ops.conv2d(x(), w(3, 2, 3, 3), w(2)), 'SHAPE_MISMATCH'),
  failure('two dtypes', () => ops.conv2d(x(), ops.zeros([3, 2, 3, 3], { dtype: 'float16' })), 'DTYPE_MISMATCH'),
  failure('a pool of integers', () => ops.maxPool2d(ops.zeros([1, 2, 4, 4], { dtype: 'int32' }), 2), 'DTYPE_MISMATCH'),
  failure('a pool that pads more than half', () => ops.maxPool2d(x(), 2, { padding: 2 }), 'INVALID_ARGUMENT', /\[maxPool2d\]/),
  failure('a kernel of 0', () => ops.avgPool2d(x(), 0), 'INVALID_ARGUMENT'),
  failure('an output of size 0', () => ops.adaptiveAvgPool2d(x(), -1), 'INVALID_ARGUMENT'),
];
