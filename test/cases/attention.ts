import * as ops from '../../lib/ops';
import { QBytesTensor, qtypes } from '../../lib/qtensor';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure, Input } from '../harness/case';
import { matmulReference, NdArray, total } from '../harness/ndarray';
import { integers, oneOf, uniform } from '../harness/random';

interface Options {
  readonly causal?: boolean;
  readonly offset?: number;
  readonly scale?: number;
  /** 1 where a query sees a key. */
  readonly seen?: NdArray;
  readonly bias?: NdArray;
}

/** Heads repeated as often as the query has more of them. */
function repeatHeads(src: NdArray, heads: number): NdArray {
  if (src.ndim < 3) return src;
  const axis = src.ndim - 3;
  const group = heads / src.shape[axis];
  return NdArray.from(
    src.shape.map((size, i) => (i === axis ? heads : size)),
    (index) => src.at(index.map((position, i) => (i === axis ? Math.floor(position / group) : position))),
  );
}

function attention(query: NdArray, givenKey: NdArray, givenValue: NdArray, options: Options): NdArray {
  const heads = query.ndim < 3 ? 1 : query.shape[query.ndim - 3];
  const [key, value] = [repeatHeads(givenKey, heads), repeatHeads(givenValue, heads)];
  const last = query.ndim - 1;
  const scale = options.scale ?? 1 / Math.sqrt(query.shape[last]);
  const axes = [...key.shape.keys()];
  const scores = matmulReference(query, key.permute(...axes.slice(0, -2), last, last - 1));
  const sees = (index: number[]) =>
    (!options.causal || index[last] <= index[last - 1] + (options.offset ?? 0)) && (options.seen?.broadcastAt(index) ?? 1) === 1;
  const masked = NdArray.from(scores.shape, (index) =>
    sees(index) ? scores.at(index) * scale + (options.bias?.broadcastAt(index) ?? 0) : -Infinity,
  );
  const weights = masked.mapRows(last, (row) => {
    const largest = Math.max(...row);
    if (largest === -Infinity) return row.map(() => 0);
    const powers = row.map((score) => Math.exp(score - largest));
    return powers.map((power) => power / total(powers));
  });
  return matmulReference(weights, value);
}

const qkv = (query: number[], key: number[], value: number[]): Input[] => [{ shape: query }, { shape: key }, { shape: value }];
const batch = qkv([2, 3, 4, 5], [2, 3, 6, 5], [2, 3, 6, 7]);

function row(name: string, inputs: readonly Input[], run: Case['run'], reference: Case['reference'], more: Partial<Case> = {}): Case {
  return {
    family: 'attention',
    name,
    inputs,
    run,
    reference,
    // Means of values, whose weights come from products of 5 terms.
    magnitude: (q, k, v, ...rest) => reference(q, k, v, ...rest).map(() => Math.max(1, ...v.data.map(Math.abs))),
    roundings: 64,
    // The scaled query, scores, weights and result are rounded.
    halfRoundings: 12,
    ...more,
  };
}

const seen: Input = { shape: [2, 1, 4, 6], dtype: 'bool', domain: oneOf(0, 1, 1) };
const plainCases: readonly Case[] = [
  row(
    'plain',
    batch,
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => attention(q, k, v, {}),
  ),
  row(
    'causal',
    batch,
    (q, k, v) => ops.scaledDotProductAttention(q, k, v, { causal: true }),
    (q, k, v) => attention(q, k, v, { causal: true }),
  ),
  row(
    'scale',
    batch,
    (q, k, v) => ops.scaledDotProductAttention(q, k, v, { scale: 0.25 }),
    (q, k, v) => attention(q, k, v, { scale: 0.25 }),
  ),
  row(
    'bool mask',
    [...batch, { ...seen, optional: true }],
    (q, k, v, mask) => ops.scaledDotProductAttention(q, k, v, { mask }),
    (q, k, v, mask) => attention(q, k, v, { seen: mask }),
  ),
  row(
    'bool mask that hides all',
    [...batch, { shape: [4, 1], dtype: 'bool', domain: oneOf(0, 1), optional: true }],
    (q, k, v, mask) => ops.scaledDotProductAttention(q, k, v, { mask }),
    (q, k, v, mask) => attention(q, k, v, { seen: mask }),
  ),
  row(
    'float mask',
    [...batch, { shape: [4, 6], optional: true }],
    (q, k, v, mask) => ops.scaledDotProductAttention(q, k, v, { mask }),
    (q, k, v, mask) => attention(q, k, v, { bias: mask }),
  ),
  row(
    'grouped heads',
    qkv([2, 6, 4, 5], [2, 2, 6, 5], [2, 2, 6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v, { causal: true }),
    (q, k, v) => attention(q, k, v, { causal: true }),
  ),
  row(
    'one shared head',
    qkv([2, 4, 3, 5], [2, 1, 6, 5], [2, 1, 6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => attention(q, k, v, {}),
  ),
  row(
    'without heads',
    qkv([4, 5], [6, 5], [6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => attention(q, k, v, {}),
  ),
];

/** Sizes around those of tiles, blocks and vectors. */
const awkward: readonly (readonly [length: number, keys: number, width: number])[] = [
  [1, 1, 1],
  [1, 127, 33],
  [7, 15, 17],
  [15, 63, 7],
  [17, 50, 15],
  [33, 7, 50],
  [50, 33, 63],
  [63, 300, 16],
  [65, 65, 65],
  [127, 1, 8],
  [127, 127, 31],
];
/** Means of values are no larger than the largest of them. */
const largestValue = (shape: number[]) => (_query: NdArray, _key: NdArray, value: NdArray) => {
  const largest = Math.max(1, ...value.data.map(Math.abs));
  return NdArray.from(shape, () => largest);
};
const sizeCases: readonly Case[] = awkward.flatMap(([length, keys, width], i) => {
  const more = { gradient: false, roundings: 64 + keys, magnitude: largestValue([1, 2, length, width + 1]) };
  const name = `${length} by ${keys} of ${width}`;
  const inputs = qkv([1, 2, length, width], [1, 1, keys, width], [1, 1, keys, width + 1]);
  const mask = { shape: [[length, keys], [1, 1, keys], [2, length, keys], [1, length, 1]][i % 4], dtype: 'bool', domain: oneOf(0, 1, 1) } as const; // prettier-ignore
  return [
    row(
      `${name}, causal`,
      inputs,
      (q, k, v) => ops.scaledDotProductAttention(q, k, v, { causal: true, offset: (i % 3) * 4 - 4 }),
      (q, k, v) => attention(q, k, v, { causal: true, offset: (i % 3) * 4 - 4 }),
      more,
    ),
    row(
      `${name}, masked`,
      [...inputs, { ...mask, optional: true }],
      (q, k, v, seenKeys) => ops.scaledDotProductAttention(q, k, v, { mask: seenKeys, causal: i % 2 === 1, offset: keys >> 1 }),
      (q, k, v, seenKeys) => attention(q, k, v, { seen: seenKeys, causal: i % 2 === 1, offset: keys >> 1 }),
      more,
    ),
    row(
      `${name}, biased`,
      [...inputs, { shape: mask.shape, optional: true }],
      (q, k, v, bias) => ops.scaledDotProductAttention(q, k, v, { mask: bias }),
      (q, k, v, bias) => attention(q, k, v, { bias }),
      more,
    ),
  ];
});
const layoutCases: readonly Case[] = [
  row(
    'heads of a linear layer',
    qkv([2, 40, 3, 8], [2, 19, 3, 8], [2, 19, 3, 8]),
    (...qkvTensors) => {
      const [q, k, v] = qkvTensors.map((src) => ops.permute(src, 0, 2, 1, 3));
      return ops.reshape(ops.permute(ops.scaledDotProductAttention(q, k, v), 0, 2, 1, 3), 2, 40, 24);
    },
    (...arrays) => {
      const [q, k, v] = arrays.map((src) => src.permute(0, 2, 1, 3));
      return attention(q, k, v, {}).permute(0, 2, 1, 3).reshape(2, 40, 24);
    },
    { gradient: false, magnitude: largestValue([2, 40, 24]) },
  ),
  row(
    'batches that broadcast',
    qkv([3, 1, 2, 4, 5], [2, 1, 6, 5], [1, 2, 6, 5]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => {
      const spread = (src: NdArray) => NdArray.from([3, 2, 2, ...src.shape.slice(-2)], (index) => src.broadcastAt(index));
      return attention(spread(q), spread(k), spread(v), {});
    },
    {
      gradient: false,
      magnitude: largestValue([3, 2, 2, 4, 5]),
    },
  ),
  row(
    'nothing',
    qkv([2, 3, 4, 5], [2, 3, 6, 5], [2, 3, 6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => attention(q, k, v, {}),
    { gradient: false, empty: [[2, 3, 0, 5], [2, 3, 6, 5], [2, 3, 6, 7]] }, // prettier-ignore
  ),
  row(
    'no keys',
    qkv([2, 3, 4, 5], [2, 3, 6, 5], [2, 3, 6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v),
    (q, k, v) => (k.shape[2] === 0 ? NdArray.from([2, 3, 4, 7], () => 0) : attention(q, k, v, {})),
    { gradient: false, empty: [[2, 3, 4, 5], [2, 3, 0, 5], [2, 3, 0, 7]], magnitude: largestValue([2, 3, 4, 7]) }, // prettier-ignore
  ),
  row(
    'no width',
    qkv([2, 3, 4, 5], [2, 3, 6, 5], [2, 3, 6, 7]),
    (q, k, v) => ops.scaledDotProductAttention(q, k, v, { scale: 1 }),
    (q, k, v) => attention(q, k, v, { scale: 1 }),
    { gradient: false, empty: [[2, 3, 4, 0], [2, 3, 6, 0], [2, 3, 6, 7]], roundings: 128 }, // prettier-ignore
  ),
];

/** Operands of int8 codes with one scale each, and a mask that is added. */
const codes: Input = { shape: [], dtype: 'int8', domain: integers(-128, 127) };
const oneScale: Input = { shape: [], domain: uniform(0.01, 0.03) };
const quantized = (of: Tensor, scale: Tensor) => new QBytesTensor(qtypes.qint8, null, { codes: ops.clone(of), scale: ops.clone(scale) });
const codeCases: readonly Case[] = awkward.map(([length, keys, width], i) => {
  const options = { causal: i % 2 === 1, offset: keys >> 1 };
  const dequantized = (of: NdArray, scale: NdArray) => of.map((code) => code * scale.data[0]);
  const [q, k, v] = [[1, 2, length, width], [1, 1, keys, width], [1, 1, keys, width + 1]].map((shape) => ({ ...codes, shape })); // prettier-ignore
  return row(
    `codes, ${length} by ${keys} of ${width}`,
    [q, oneScale, k, oneScale, v, oneScale, { shape: [length, keys], optional: true }],
    (query, queryScale, key, keyScale, value, valueScale, mask) =>
      ops.scaledDotProductAttention(quantized(query, queryScale), quantized(key, keyScale), quantized(value, valueScale), {
        mask,
        ...options,
      }),
    (query, queryScale, key, keyScale, value, valueScale, bias) =>
      attention(dequantized(query, queryScale), dequantized(key, keyScale), dequantized(value, valueScale), { bias, ...options }),
    {
      gradient: false,
      roundings: 64 + keys,
      magnitude: (_query, _queryScale, _key, _keyScale, value, valueScale) =>
        NdArray.from([1, 2, length, width + 1], () => Math.max(1, ...value.data.map(Math.abs)) * Math.max(1, valueScale.data[0])),
    },
  );
});

export const attentionCases: readonly Case[] = [...plainCases, ...sizeCases, ...layoutCases, ...codeCases];

const of = (...shape: number[]) => ops.zeros(shape);
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'attention',
  name,
  run,
  code,
  message,
});
export const attentionFailures: readonly Failure[] = [
  failure('vectors', () => ops.scaledDotProductAttention(of(3), of(3), of(3)), 'SHAPE_MISMATCH', /\[scaledDotProductAttention\]/),
  failure(
    'heads that do not divide',
    () => ops.scaledDotProductAttention(of(1, 5, 2, 3), of(1, 2, 2, 3), of(1, 2, 2, 3)),
    'SHAPE_MISMATCH',
    /5 and 2/,
  ),
  failure('another width', () => ops.scaledDotProductAttention(of(2, 3), of(2, 4), of(2, 4)), 'SHAPE_MISMATCH'),
  failure(
    'a mask of another shape',
    () => ops.scaledDotProductAttention(of(2, 3), of(2, 3), of(2, 3), { mask: of(5, 5) }),
    'SHAPE_MISMATCH',
  ),
];
