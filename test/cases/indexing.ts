import * as ops from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure, Input } from '../harness/case';
import { NdArray, type Shape } from '../harness/ndarray';
import { integers } from '../harness/random';

const index = (shape: Shape, size: number, dtype: 'int64' | 'int32' = 'int64'): Input => ({ shape, dtype, domain: integers(0, size - 1) });
const replaced = (place: readonly number[], axis: number, value: number) => place.map((position, i) => (i === axis ? value : position));

const gathered = (axis: number) => (src: NdArray, at: NdArray) =>
  NdArray.from(at.shape, (place) => src.at(replaced(place, axis, at.at(place))));

/** Adds to a copy of src at the place that each position of the updates names. */
function scattered(src: NdArray, updates: NdArray, positions: Shape, target: (place: number[]) => number[]): NdArray {
  const out = new NdArray(src.shape, src.data.slice());
  NdArray.from(positions, (place) => {
    const offset = target(place).reduce((sum, position, axis) => sum * src.shape[axis] + position, 0);
    out.data[offset] += updates.at(place);
    return 0;
  });
  return out;
}

const scatterSum = (axis: number) => (src: NdArray, at: NdArray, updates: NdArray) =>
  scattered(src, updates, at.shape, (place) => replaced(place, axis, at.at(place)));
const indexSum = (axis: number) => (src: NdArray, at: NdArray, updates: NdArray) =>
  scattered(src, updates, updates.shape, (place) => replaced(place, axis, at.at([place[axis]])));
const absolute = (array: NdArray) => array.map(Math.abs);

const selected = (axis: number) => (src: NdArray, at: NdArray) =>
  NdArray.from(
    src.shape.map((size, i) => (i === axis ? at.shape[0] : size)),
    (place) => src.at(replaced(place, axis, at.at([place[axis]]))),
  );

const embedded = (at: NdArray, weight: NdArray) =>
  NdArray.from([...at.shape, weight.shape[1]], (place) => weight.at([at.at(place.slice(0, -1)), place[place.length - 1]]));

const row = (name: string, inputs: readonly Input[], run: Case['run'], reference: Case['reference'], more: Partial<Case> = {}): Case => ({
  family: 'index',
  name,
  inputs,
  run,
  reference,
  roundings: 0,
  ...more,
});

/** Sums of a few values at one place. */
const sums = (axis: number, sum: typeof scatterSum): Partial<Case> => ({
  magnitude: (src, at, updates) => sum(axis)(absolute(src), at, absolute(updates)),
  roundings: 8,
});

const reads: readonly Case[] = [
  row('indexSelect axis=0', [{ shape: [5, 4] }, index([7], 5)], (x, at) => ops.indexSelect(x, 0, at), selected(0), {
    empty: [[5, 4], [0]],
  }),
  row('indexSelect axis=-1', [{ shape: [3, 5] }, index([4], 5)], (x, at) => ops.indexSelect(x, -1, at), selected(1)),
  row('indexSelect int32', [{ shape: [3, 5, 2] }, index([4], 5, 'int32')], (x, at) => ops.indexSelect(x, 1, at), selected(1)),
  row('gather axis=0', [{ shape: [5, 4] }, index([3, 4], 5)], (x, at) => ops.gather(x, 0, at), gathered(0)),
  row('gather axis=1', [{ shape: [3, 5, 2] }, index([3, 7, 2], 5)], (x, at) => ops.gather(x, 1, at), gathered(1), {
    empty: [
      [3, 5, 2],
      [3, 0, 2],
    ],
  }),
  row('gather smaller index', [{ shape: [5, 4] }, index([2, 3], 4)], (x, at) => ops.gather(x, 1, at), gathered(1)),
  row('embedding', [index([2, 3], 9), { shape: [9, 5] }], ops.embedding, embedded, {
    empty: [
      [0, 3],
      [9, 5],
    ],
  }),
  row('embedding of a number', [index([], 9), { shape: [9, 5] }], ops.embedding, embedded),
  row('embedding large', [index([700], 50), { shape: [50, 64] }], ops.embedding, embedded, { gradient: false }),
];

const writes: readonly Case[] = [
  row(
    'scatterAdd axis=0',
    [{ shape: [5, 4] }, index([7, 4], 5), { shape: [7, 4] }],
    (x, at, y) => ops.scatterAdd(x, 0, at, y),
    scatterSum(0),
    sums(0, scatterSum),
  ),
  row(
    'scatterAdd axis=1',
    [{ shape: [3, 5] }, index([3, 8], 5), { shape: [3, 8] }],
    (x, at, y) => ops.scatterAdd(x, -1, at, y),
    scatterSum(1),
    sums(1, scatterSum),
  ),
  row(
    'scatterAdd smaller index',
    [{ shape: [5, 4] }, index([2, 3], 5), { shape: [4, 4] }],
    (x, at, y) => ops.scatterAdd(x, 0, at, y),
    scatterSum(0),
    sums(0, scatterSum),
  ),
  row(
    'indexAdd axis=0',
    [{ shape: [5, 4] }, index([7], 5), { shape: [7, 4] }],
    (x, at, y) => ops.indexAdd(x, 0, at, y),
    indexSum(0),
    sums(0, indexSum),
  ),
  row(
    'indexAdd axis=1',
    [{ shape: [3, 5, 2] }, index([6], 5), { shape: [3, 6, 2] }],
    (x, at, y) => ops.indexAdd(x, 1, at, y),
    indexSum(1),
    {
      ...sums(1, indexSum),
      empty: [[3, 5, 2], [0], [3, 0, 2]],
    },
  ),
];

/** Order of topk: by value, NaN largest, equal ones by index. */
function order(values: number[], largest: boolean): number[] {
  const rank = (value: number) => (Number.isNaN(value) ? Infinity : value);
  const places = [...values.keys()];
  return places.sort((i, j) => {
    const difference = rank(values[j]) - rank(values[i]);
    return (Number.isNaN(difference) || difference === 0 ? 0 : largest ? difference : -difference) || i - j;
  });
}

const picked = (axis: number, k: number, largest: boolean, pick: (values: number[], place: number) => number) => (src: NdArray) => {
  const rows = src.mapRows(axis, (values) => order(values, largest).map((place) => pick(values, place)));
  return NdArray.from(
    src.shape.map((size, i) => (i === axis ? k : size)),
    (place) => rows.at(place),
  );
};
const valueAt = (values: number[], place: number) => values[place];
const placeAt = (_: number[], place: number) => place;

const best: readonly Case[] = [
  row('topk', [{ shape: [4, 9] }], (x) => ops.topk(x, 3).values, picked(1, 3, true, valueAt)),
  row('topk smallest axis=0', [{ shape: [9, 4] }], (x) => ops.topk(x, 2, { axis: 0, largest: false }).values, picked(0, 2, false, valueAt)),
  row('topk indices', [{ shape: [4, 9] }], (x) => ops.topk(x, 9).indices, picked(1, 9, true, placeAt), { output: 'int64' }),
  row('topk indices of ties', [{ shape: [4, 20], domain: integers(0, 3) }], (x) => ops.topk(x, 12).indices, picked(1, 12, true, placeAt), {
    output: 'int64',
  }),
  row(
    'topk smallest indices of ties',
    [{ shape: [4, 20], domain: integers(0, 3) }],
    (x) => ops.topk(x, 12, { largest: false }).indices,
    picked(1, 12, false, placeAt),
    { output: 'int64' },
  ),
];

const triangle = (kept: (i: number, j: number) => boolean) => (src: NdArray) =>
  NdArray.from(src.shape, (place) => (kept(place[place.length - 2], place[place.length - 1]) ? src.at(place) : 0));

const triangles: readonly Case[] = [
  row(
    'tril',
    [{ shape: [4, 5] }],
    (x) => ops.tril(x),
    triangle((i, j) => j <= i),
    { empty: [[0, 5]] },
  ),
  row(
    'tril diagonal=1',
    [{ shape: [2, 4, 3] }],
    (x) => ops.tril(x, 1),
    triangle((i, j) => j <= i + 1),
  ),
  row(
    'triu',
    [{ shape: [4, 5] }],
    (x) => ops.triu(x),
    triangle((i, j) => j >= i),
  ),
  row(
    'triu diagonal=-1',
    [{ shape: [2, 4, 3] }],
    (x) => ops.triu(x, -1),
    triangle((i, j) => j >= i - 1),
  ),
  row(
    'oneHot',
    [index([2, 3], 4)],
    (at) => ops.oneHot(at, 4),
    (at) => NdArray.from([...at.shape, 4], (place) => Number(at.at(place.slice(0, -1)) === place.at(-1))),
  ),
];

export const indexCases: readonly Case[] = [...reads, ...writes, ...best, ...triangles];

const x = () => ops.zeros([2, 3]);
const at = (...values: number[]): Tensor => ops.tensor(values, { dtype: 'int64' });
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'index',
  name,
  run,
  code,
  message,
});
export const indexFailures: readonly Failure[] = [
  failure('indexSelect beyond the end', () => ops.indexSelect(x(), 1, at(0, 3)), 'INDEX_OUT_OF_RANGE', /\[indexSelect\]/),
  failure('indexSelect below 0', () => ops.indexSelect(x(), 1, at(-1)), 'INDEX_OUT_OF_RANGE'),
  failure('indexSelect by a matrix', () => ops.indexSelect(x(), 1, ops.zeros([1, 1], { dtype: 'int64' })), 'SHAPE_MISMATCH'),
  failure('an index of floats', () => ops.indexSelect(x(), 1, ops.tensor([0, 1])), 'DTYPE_MISMATCH'),
  failure('gather by an index of fewer dimensions', () => ops.gather(x(), 1, at(0)), 'SHAPE_MISMATCH'),
  failure('gather beyond the end', () => ops.gather(x(), 0, ops.full([1, 3], 2, { dtype: 'int64' })), 'INDEX_OUT_OF_RANGE'),
  failure('scatterAdd beyond the end', () => ops.scatterAdd(x(), 0, ops.full([1, 3], 2, { dtype: 'int64' }), x()), 'INDEX_OUT_OF_RANGE'),
  failure(
    'scatterAdd with too few updates',
    () => ops.scatterAdd(x(), 0, ops.zeros([2, 3], { dtype: 'int64' }), ops.zeros([1, 3])),
    'SHAPE_MISMATCH',
  ),
  failure('indexAdd with updates of another length', () => ops.indexAdd(x(), 0, at(0, 1), ops.zeros([3, 3])), 'SHAPE_MISMATCH'),
  failure('embedding beyond the end', () => ops.embedding(at(2), x()), 'INDEX_OUT_OF_RANGE', /\[embedding\]/),
  failure('embedding of a vector', () => ops.embedding(at(0), ops.zeros([3])), 'SHAPE_MISMATCH'),
  failure('oneHot beyond the last class', () => ops.oneHot(at(0, 3), 3), 'INDEX_OUT_OF_RANGE'),
  failure('oneHot of floats', () => ops.oneHot(ops.tensor([0.5]), 3), 'DTYPE_MISMATCH'),
  failure('oneHot below 0', () => ops.oneHot(at(-1), 3), 'INDEX_OUT_OF_RANGE'),
  failure('topk of more than there are', () => ops.topk(x(), 4), 'INVALID_ARGUMENT', /\[topk\]/),
  failure('topk of a negative count', () => ops.topk(x(), -1), 'INVALID_ARGUMENT'),
  failure('the triangle of a vector', () => ops.tril(ops.zeros([3])), 'SHAPE_MISMATCH'),
];
