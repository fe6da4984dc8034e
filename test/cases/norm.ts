import * as ops from '../../lib/ops';
import { layerNormCodes, rmsNormCodes } from '../../lib/ops/norm';
import { beside, type Case, type Failure, type Input } from '../harness/case';
import { NdArray, total, zip } from '../harness/ndarray';
import { uniform } from '../harness/random';

const softmaxRow = (values: number[]) => {
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = total(powers);
  return powers.map((power) => power / sum);
};
const logSoftmaxRow = (values: number[]) => {
  const largest = Math.max(...values);
  const logarithm = largest + Math.log(total(values.map((value) => Math.exp(value - largest))));
  return values.map((value) => value - logarithm);
};
const rangeRow = (values: number[]) => {
  const size = Math.max(...values.map(Math.abs)) + Math.log(values.length);
  return values.map(() => size);
};

const softmaxes = (['softmax', 'logSoftmax'] as const).flatMap((name) =>
  (
    [
      ['axis=-1', [3, 4, 5], -1, 2],
      ['axis=0', [4, 5], 0, 0],
      ['axis=1', [3, 4, 5], 1, 1],
      ['of 127', [2, 127], 1, 1],
      ['of 1', [5, 1], 1, 1],
      ['large', [40, 1001], 1, 1],
    ] as const
  ).map(([how, shape, axis, place]): Case => ({
    family: 'norm',
    name: `${name} ${how}`,
    inputs: [{ shape, domain: uniform(-4, 4) }],
    run: (x) => ops[name](x, axis),
    reference: (x) => x.mapRows(place, name === 'softmax' ? softmaxRow : logSoftmaxRow),
    // A difference of two numbers of the inputs' size.
    magnitude: name === 'softmax' ? undefined : (x) => x.mapRows(place, rangeRow),
    roundings: 8,
    gradient: how !== 'large',
    empty: how === 'axis=0' ? [[4, 0]] : undefined,
  })),
);

/** Each row of the last `dims` dims as one. */
const asRows = (src: NdArray, dims: number) => {
  const size = src.shape.slice(src.ndim - dims).reduce((product, part) => product * part, 1);
  return src.reshape(src.data.length / Math.max(1, size), size);
};

const layerNorm = (dims: number) => (src: NdArray, weight?: NdArray, bias?: NdArray) => {
  const rows = asRows(src, dims).mapRows(1, (values) => {
    const mean = total(values) / values.length;
    const variance = total(values.map((value) => (value - mean) ** 2)) / values.length;
    return values.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * (weight?.data[i] ?? 1) + (bias?.data[i] ?? 0));
  });
  return rows.reshape(...src.shape);
};

/** |normalized| <= sqrt(n), times the weight, plus the bias. */
const affineSize = (dims: number) => (src: NdArray, weight?: NdArray, bias?: NdArray) =>
  asRows(src, dims)
    .mapRows(1, (values) => values.map((_, i) => 4 * Math.abs(weight?.data[i] ?? 1) + Math.abs(bias?.data[i] ?? 0)))
    .reshape(...src.shape);

const layerNorms = (
  [
    ['', [3, 4, 17], 1, true, true],
    [' two dims', [5, 3, 4], 2, true, true],
    [' without bias', [6, 7], 1, true, false],
    [' plain', [6, 7], 1, false, false],
    [' of 130', [3, 130], 1, true, true],
    [' large', [70, 640], 1, true, true],
  ] as const
).map(([how, shape, dims, hasWeight, hasBias]): Case => {
  const normalized = shape.slice(shape.length - dims);
  return {
    family: 'norm',
    name: `layerNorm${how}`,
    inputs: [
      { shape },
      ...(hasWeight ? [{ shape: normalized, optional: true }] : []),
      ...(hasBias ? [{ shape: normalized, optional: true }] : []),
    ],
    run: (x, weight, bias) => ops.layerNorm(x, normalized, weight, bias),
    reference: layerNorm(dims),
    magnitude: affineSize(dims),
    roundings: 8,
    gradient: how !== ' large',
    empty: how === '' ? [[0, 4, 17], [17], [17]] : undefined,
  };
});

const biasOnly: Case = {
  family: 'norm',
  name: 'layerNorm bias only',
  inputs: [{ shape: [6, 7] }, { shape: [7], optional: true }],
  run: (x, bias) => ops.layerNorm(x, [7], null, bias),
  reference: (x, bias) => layerNorm(1)(x, undefined, bias),
  magnitude: (x, bias) => affineSize(1)(x, undefined, bias),
  roundings: 8,
};

const rmsNorm = (src: NdArray, weight?: NdArray) =>
  src.mapRows(src.ndim - 1, (values) => {
    const rms = Math.sqrt(total(values.map((value) => value * value)) / values.length + 1e-6);
    return values.map((value, i) => (value / rms) * (weight?.data[i] ?? 1));
  });

const rmsNorms = (
  [
    ['', [3, 4, 17], true],
    [' plain', [6, 7], false],
    [' of 130', [3, 130], true],
    [' large', [70, 640], true],
  ] as const
).map(([how, shape, hasWeight]): Case => ({
  family: 'norm',
  name: `rmsNorm${how}`,
  inputs: [{ shape }, ...(hasWeight ? [{ shape: shape.slice(-1), optional: true }] : [])],
  run: (x, weight) => ops.rmsNorm(x, weight),
  reference: rmsNorm,
  roundings: 8,
  gradient: how !== ' large',
  empty: how === '' ? [[0, 4, 17], [17]] : undefined,
}));

/** As by quantize: half to even, and the ends of int8. */
const codeOf = (value: number) => {
  const [below, rest] = [Math.floor(value), value - Math.floor(value)];
  const nearest = rest === 0.5 ? below + (below & 1) : Math.round(value);
  return Math.min(127, Math.max(-128, nearest));
};

/** Norms whose results are codes; clone refuses what is no tensor. Rounded to a narrow dtype on the way they are not those of float64. */
const codeRows = (
  [
    [1, 8],
    [7, 1],
    [15, 7],
    [2, 15],
    [3, 17],
    [1, 33],
    [4, 50],
    [5, 63],
    [2, 65],
    [3, 127],
    [2, 1030],
  ] as const
).flatMap(([rows, n]): Case[] => {
  const common = { family: 'norm', output: 'int8', gradient: false, halfRoundings: false } as const;
  const parameter: Input = { shape: [n] };
  const scale: Input = { shape: [1], domain: uniform(0.01, 0.03) };
  const coded = (values: NdArray, by: NdArray) => values.map((value) => codeOf(value / by.data[0]));
  return [
    {
      ...common,
      name: `layerNorm to int8 ${rows} of ${n}`,
      inputs: [{ shape: [rows, n] }, parameter, parameter, scale],
      run: (...inputs) => {
        const [x, weight, bias, by] = inputs.map(ops.clone);
        return layerNormCodes(x, [n], weight, bias, 1e-5, by);
      },
      reference: (x, weight, bias, by) => coded(layerNorm(1)(x, weight, bias), by),
    },
    {
      ...common,
      name: `rmsNorm to int8 ${rows} of ${n}`,
      inputs: [{ shape: [rows, n] }, parameter, scale],
      run: (...inputs) => {
        const [x, weight, by] = inputs.map(ops.clone);
        return rmsNormCodes(x, weight, 1e-6, by);
      },
      reference: (x, weight, by) => coded(rmsNorm(x, weight), by),
    },
  ];
});

/** A value for each channel, over [N, C, ...]. */
const channel = (vector: NdArray, ndim: number) => vector.reshape(vector.data.length, ...Array<number>(ndim - 2).fill(1));

function normalizeChannels(src: NdArray, mean: NdArray, variance: NdArray, weight?: NdArray, bias?: NdArray): NdArray {
  const of = (vector: NdArray | undefined, other: number) => channel(vector ?? mean.map(() => other), src.ndim);
  return zip((x, m, v, w, b) => ((x - m) / Math.sqrt(v + 1e-5)) * w + b, src, of(mean, 0), of(variance, 1), of(weight, 1), of(bias, 0));
}

const channelSize = (src: NdArray, mean: NdArray, variance: NdArray, weight?: NdArray, bias?: NdArray) => {
  const size = (vector: NdArray | undefined, other: number) => channel(vector?.map(Math.abs) ?? mean.map(() => other), src.ndim);
  return zip(
    (x, m, v, w, b) => ((Math.abs(x) + m) / Math.sqrt(v + 1e-5)) * w + b,
    src,
    size(mean, 0),
    size(variance, 1),
    size(weight, 1),
    size(bias, 0),
  );
};

const batchMean = (src: NdArray) => foldChannels(src, (values) => total(values) / values.length);
const batchVariance = (src: NdArray) =>
  foldChannels(src, (values) => {
    const mean = total(values) / values.length;
    return total(values.map((value) => (value - mean) ** 2)) / values.length;
  });
const foldChannels = (src: NdArray, fold: (values: number[]) => number) =>
  src.fold(
    [...src.shape.keys()].filter((axis) => axis !== 1),
    false,
    fold,
  );

const channels = (count: number) => ({ shape: [count] });
const spread = { shape: [3], domain: uniform(0.5, 2) };
const batchNorms: readonly Case[] = [
  {
    family: 'norm',
    name: 'batchNorm evaluation',
    inputs: [
      { shape: [2, 3, 4, 5] },
      { ...channels(3), optional: true },
      { ...spread, optional: true },
      { ...channels(3), optional: true },
      { ...channels(3), optional: true },
    ],
    run: (x, mean, variance, weight, bias) => ops.batchNorm(x, mean, variance, { weight, bias }),
    reference: normalizeChannels,
    magnitude: channelSize,
    roundings: 8,
    gradient: false,
    empty: [[0, 3, 4, 5], [3], [3], [3], [3]],
  },
  {
    family: 'norm',
    name: 'batchNorm evaluation gradient',
    inputs: [{ shape: [2, 3, 4] }, { ...channels(3), optional: true }, { ...channels(3), optional: true }],
    run: (x, weight, bias) => ops.batchNorm(x, ops.tensor([0.5, -1, 2], beside(x)), ops.tensor([0.5, 1, 2], beside(x)), { weight, bias }),
    reference: (x, weight, bias) => normalizeChannels(x, vector(0.5, -1, 2), vector(0.5, 1, 2), weight, bias),
    magnitude: (x, weight, bias) => channelSize(x, vector(0.5, -1, 2), vector(0.5, 1, 2), weight, bias),
    roundings: 8,
    // The running statistics above are float32.
    halfRoundings: false,
  },
  {
    family: 'norm',
    name: 'batchNorm training',
    inputs: [{ shape: [4, 3, 2, 3] }, { ...channels(3), optional: true }, { ...channels(3), optional: true }],
    run: (x, weight, bias) => ops.batchNorm(x, null, null, { weight, bias, training: true }),
    reference: (x, weight, bias) => normalizeChannels(x, batchMean(x), batchVariance(x), weight, bias),
    magnitude: (x, weight, bias) => channelSize(x, batchMean(x), batchVariance(x), weight, bias),
    roundings: 16,
  },
  {
    family: 'norm',
    name: 'batchNorm training plain',
    inputs: [{ shape: [9, 4] }],
    run: (x) => ops.batchNorm(x, null, null, { training: true }),
    reference: (x) => normalizeChannels(x, batchMean(x), batchVariance(x)),
    magnitude: (x) => channelSize(x, batchMean(x), batchVariance(x)),
    roundings: 16,
  },
];

function vector(...values: number[]): NdArray {
  return NdArray.from([values.length], ([i]) => values[i]);
}

export const normCases: readonly Case[] = [...softmaxes, ...layerNorms, biasOnly, ...rmsNorms, ...codeRows, ...batchNorms];

const x = () => ops.zeros([2, 3]);
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'norm',
  name,
  run,
  code,
  message,
});
export const normFailures: readonly Failure[] = [
  failure('softmax of integers', () => ops.softmax(ops.zeros([2, 3], { dtype: 'int32' })), 'DTYPE_MISMATCH', /\[softmax\]/),
  failure('softmax axis out of range', () => ops.softmax(x(), 2), 'INVALID_ARGUMENT'),
  failure('layerNorm of another shape', () => ops.layerNorm(x(), [4]), 'SHAPE_MISMATCH', /\[layerNorm\].*\[4\].*\[2, 3\]/),
  failure('layerNorm over no dimension', () => ops.layerNorm(x(), []), 'SHAPE_MISMATCH'),
  failure('layerNorm weight of another shape', () => ops.layerNorm(x(), [3], ops.ones([2])), 'SHAPE_MISMATCH'),
  failure('layerNorm weight of another dtype', () => ops.layerNorm(x(), [3], ops.ones([3], { dtype: 'int32' })), 'DTYPE_MISMATCH'),
  failure('rmsNorm weight of another shape', () => ops.rmsNorm(x(), ops.ones([2])), 'SHAPE_MISMATCH'),
  failure('batchNorm of a vector', () => ops.batchNorm(ops.zeros([3]), null, null), 'SHAPE_MISMATCH'),
  failure('batchNorm of other channels', () => ops.batchNorm(x(), ops.zeros([2]), ops.ones([2])), 'SHAPE_MISMATCH', /runningMean/),
  failure('batchNorm training on one value', () => ops.batchNorm(ops.zeros([1, 3]), null, null, { training: true }), 'SHAPE_MISMATCH'),
];
