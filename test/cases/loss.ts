import * as ops from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { NdArray, total, zip } from '../harness/ndarray';
import { integers, oneOf, uniform } from '../harness/random';

const reduced = (losses: NdArray, reduction: ops.Reduction, count = losses.data.length): NdArray => {
  if (reduction === 'none') return losses;
  const sum = total([...losses.data]);
  return NdArray.from([], () => (reduction === 'sum' ? sum : sum / count));
};

interface Pointwise {
  readonly name: string;
  readonly run: (src: Tensor, target: Tensor, options: { reduction: ops.Reduction }) => Tensor;
  readonly reference: (x: number, y: number) => number;
}

const huber = (delta: number) => (x: number, y: number) => {
  const distance = Math.abs(x - y);
  return distance < delta ? distance ** 2 / 2 : delta * (distance - delta / 2);
};
const pointwise: readonly Pointwise[] = [
  { name: 'mseLoss', run: ops.mseLoss, reference: (x, y) => (x - y) ** 2 },
  { name: 'l1Loss', run: ops.l1Loss, reference: (x, y) => Math.abs(x - y) },
  { name: 'huberLoss', run: ops.huberLoss, reference: huber(1) },
  { name: 'huberLoss delta', run: (x, y, options) => ops.huberLoss(x, y, { ...options, delta: 0.3 }), reference: huber(0.3) },
  {
    name: 'smoothL1Loss',
    run: (x, y, options) => ops.smoothL1Loss(x, y, { ...options, beta: 0.5 }),
    reference: (x, y) => huber(0.5)(x, y) / 0.5,
  },
  {
    name: 'binaryCrossEntropyWithLogits',
    run: ops.binaryCrossEntropyWithLogits,
    reference: (x, y) => Math.max(x, 0) - x * y + Math.log1p(Math.exp(-Math.abs(x))),
  },
];

const losses = pointwise.flatMap(({ name, run, reference }) =>
  (['none', 'mean', 'sum'] as const).map((reduction): Case => ({
    family: 'loss',
    name: `${name} ${reduction}`,
    inputs: [{ shape: [4, 5] }, { shape: [4, 5], domain: uniform(0, 1) }],
    run: (x, y) => run(x, y, { reduction }),
    reference: (x, y) => reduced(zip(reference, x, y), reduction),
    // Differences of numbers of this size, squared.
    magnitude: (x, y) =>
      reduced(
        zip((a, b) => (Math.abs(a) + Math.abs(b) + 1) ** 2, x, y),
        reduction,
      ),
    roundings: 8,
    halfRoundings: 6,
  })),
);

/** At 0 the slope is sigmoid(0) - target, where |x| alone has none. */
const bceAtZero: Case = {
  family: 'loss',
  name: 'binaryCrossEntropyWithLogits extreme',
  inputs: [
    { shape: [12], domain: oneOf(0, -50, 50) },
    { shape: [12], domain: integers(0, 1) },
  ],
  run: (x, y) => ops.binaryCrossEntropyWithLogits(x, y, { reduction: 'none' }),
  reference: (x, y) => zip((a, b) => Math.max(a, 0) - a * b + Math.log1p(Math.exp(-Math.abs(a))), x, y),
  magnitude: (x) => x.map((a) => Math.abs(a) + 1),
};

/** Log probabilities of each class, over [N, C, ...]. */
function logSoftmax(src: NdArray): NdArray {
  return src.mapRows(src.ndim === 1 ? 0 : 1, (values) => {
    const largest = Math.max(...values);
    const logarithm = largest + Math.log(total(values.map((value) => Math.exp(value - largest))));
    return values.map((value) => value - logarithm);
  });
}

function crossEntropyReference(
  logProbabilities: NdArray,
  target: NdArray,
  { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' }: ops.CrossEntropyOptions,
): NdArray {
  const single = logProbabilities.ndim === 1;
  const classes = logProbabilities.shape[single ? 0 : 1];
  const place = (index: number[], c: number) => (single ? [c] : [index[0], c, ...index.slice(1)]);
  let counted = 0;
  const lost = NdArray.from(target.shape, (index) => {
    const wanted = target.at(index);
    if (wanted === ignoreIndex) return 0;
    counted++;
    const all = Array.from({ length: classes }, (_, c) => -logProbabilities.at(place(index, c)));
    return (1 - labelSmoothing) * all[wanted] + (labelSmoothing * total(all)) / classes;
  });
  return reduced(lost, reduction, counted);
}

const classRows = (
  [
    ['', [6, 5], [6], {}],
    [' sum', [6, 5], [6], { reduction: 'sum' }],
    [' none', [6, 5], [6], { reduction: 'none' }],
    [' ignore', [8, 5], [8], { ignoreIndex: 2 }],
    [' ignore sum', [8, 5], [8], { ignoreIndex: 2, reduction: 'sum' }],
    [' images', [2, 4, 3, 2], [2, 3, 2], {}],
    [' one sample', [5], [], {}],
  ] as readonly [string, number[], number[], ops.NllOptions][]
).flatMap(([how, shape, targetShape, options]): Case[] => {
  const common = {
    family: 'loss',
    inputs: [{ shape }, { shape: targetShape, dtype: 'int64' as const, domain: integers(0, 3) }],
    roundings: 16,
    halfRoundings: 8,
  };
  const size = (x: NdArray, y: NdArray) =>
    crossEntropyReference(
      logSoftmax(x).map((value) => Math.abs(value) + 3),
      y,
      options,
    );
  return [
    {
      ...common,
      name: `crossEntropy${how}`,
      run: (x, y) => ops.crossEntropy(x, y, options),
      reference: (x, y) => crossEntropyReference(logSoftmax(x), y, options),
      magnitude: size,
    },
    {
      ...common,
      name: `crossEntropy smoothed${how}`,
      run: (x, y) => ops.crossEntropy(x, y, { ...options, labelSmoothing: 0.2 }),
      reference: (x, y) => crossEntropyReference(logSoftmax(x), y, { ...options, labelSmoothing: 0.2 }),
      magnitude: (x, y) =>
        crossEntropyReference(
          logSoftmax(x).map((value) => Math.abs(value) + 3),
          y,
          { ...options, labelSmoothing: 0.2 },
        ),
    },
    {
      ...common,
      name: `nllLoss${how}`,
      run: (x, y) => ops.nllLoss(x, y, options),
      reference: (x, y) => crossEntropyReference(x, y, options),
      magnitude: (x, y) =>
        crossEntropyReference(
          x.map((value) => -Math.abs(value)),
          y,
          options,
        ),
    },
  ];
});

const probabilities = [0, 0.1].map((labelSmoothing): Case => ({
  family: 'loss',
  name: `crossEntropy of probabilities smoothing ${labelSmoothing}`,
  inputs: [{ shape: [4, 5] }, { shape: [4, 5], domain: uniform(0, 1) }],
  run: (x, y) => ops.crossEntropy(x, y, { labelSmoothing }),
  reference: (x, y) => {
    const smooth = y.map((value) => value * (1 - labelSmoothing) + labelSmoothing / 5);
    return reduced(zip((a, b) => -a * b, logSoftmax(x), smooth).fold([1], false, total), 'mean');
  },
  magnitude: (x) =>
    reduced(
      logSoftmax(x).fold([1], false, (values) => total(values.map((value) => Math.abs(value) + 3))),
      'mean',
    ),
  roundings: 16,
  halfRoundings: 8,
}));

export const lossCases: readonly Case[] = [...losses, bceAtZero, ...classRows, ...probabilities];

const x = () => ops.zeros([2, 3]);
const classes = (...values: number[]) => ops.tensor(values, { dtype: 'int64' });
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'loss',
  name,
  run,
  code,
  message,
});
export const lossFailures: readonly Failure[] = [
  failure('a target of another shape', () => ops.mseLoss(x(), ops.zeros([3])), 'SHAPE_MISMATCH', /\[mseLoss\].*\[2, 3\].*\[3\]/),
  failure(
    'an unknown reduction',
    () => ops.mseLoss(x(), x(), { reduction: 'max' as never }),
    'INVALID_ARGUMENT',
    /'none', 'mean' or 'sum'/,
  ),
  failure('a class beyond the last', () => ops.crossEntropy(x(), classes(0, 3)), 'INDEX_OUT_OF_RANGE'),
  failure('a negative class', () => ops.crossEntropy(x(), classes(0, -1)), 'INDEX_OUT_OF_RANGE'),
  failure('too few classes', () => ops.crossEntropy(x(), classes(0)), 'SHAPE_MISMATCH', /\[crossEntropy\].*\[2\].*\[1\]/),
  failure('too few classes of log probabilities', () => ops.nllLoss(x(), classes(0)), 'SHAPE_MISMATCH', /\[nllLoss\]/),
  failure('too few places', () => ops.crossEntropy(ops.zeros([2, 3, 4]), ops.zeros([2, 2], { dtype: 'int64' })), 'SHAPE_MISMATCH'),
  failure('classes for another batch', () => ops.crossEntropy(x(), classes(0, 1, 2)), 'SHAPE_MISMATCH'),
  failure('probabilities of another shape', () => ops.crossEntropy(x(), ops.zeros([2])), 'SHAPE_MISMATCH'),
  failure('a smoothing above 1', () => ops.crossEntropy(x(), classes(0, 1), { labelSmoothing: 1.5 }), 'INVALID_ARGUMENT'),
  failure('a delta of 0', () => ops.huberLoss(x(), x(), { delta: 0 }), 'INVALID_ARGUMENT'),
];
