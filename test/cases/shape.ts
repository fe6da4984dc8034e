import * as ops from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { NdArray, type Shape } from '../harness/ndarray';
import { integers } from '../harness/random';

function row(
  name: string,
  shape: Shape,
  run: (src: Tensor) => Tensor,
  reference: (src: NdArray) => NdArray,
  more: Partial<Case> = {},
): Case {
  return { family: 'shape', name, inputs: [{ shape }], run, reference, roundings: 0, ...more };
}

/** Elements of the source at a function of the result's index. */
const from =
  (shape: (src: Shape) => Shape, place: (index: number[], src: Shape) => number[]) =>
  (src: NdArray): NdArray =>
    NdArray.from(shape(src.shape), (index) => src.at(place(index, src.shape)));

const sliced = (axis: number, start: number, count: number, step = 1) =>
  from(
    (src) => src.map((size, i) => (i === axis ? count : size)),
    (index) => index.map((position, i) => (i === axis ? start + step * position : position)),
  );

const padded =
  (shape: Shape, before: Shape, value: number) =>
  (src: NdArray): NdArray =>
    NdArray.from(shape, (index) => {
      const source = index.map((position, i) => position - before[i]);
      return source.every((position, i) => position >= 0 && position < src.shape[i]) ? src.at(source) : value;
    });

const single: readonly Case[] = [
  row(
    'view',
    [3, 4, 5],
    (x) => ops.view(x, 4, 15),
    (x) => x.reshape(4, 15),
    { strided: false },
  ),
  row(
    'view inferred size',
    [3, 4, 5],
    (x) => ops.view(x, [-1, 6]),
    (x) => x.reshape(10, 6),
    { strided: false },
  ),
  row(
    'reshape',
    [3, 4, 5],
    (x) => ops.reshape(x, 5, 12),
    (x) => x.reshape(5, 12),
  ),
  row(
    'reshape inferred size',
    [3, 4, 5],
    (x) => ops.reshape(x, [2, -1]),
    (x) => x.reshape(2, 30),
  ),
  row(
    'reshape number',
    [1, 1],
    (x) => ops.reshape(x, []),
    (x) => x.reshape(),
  ),
  row(
    'flatten',
    [3, 4, 5],
    (x) => ops.flatten(x),
    (x) => x.reshape(60),
  ),
  row(
    'flatten from 1',
    [3, 4, 5],
    (x) => ops.flatten(x, 1),
    (x) => x.reshape(x.shape[0], 20),
    { empty: [[0, 4, 5]] },
  ),
  row(
    'flatten 0 to 1',
    [3, 4, 5],
    (x) => ops.flatten(x, 0, 1),
    (x) => x.reshape(12, 5),
  ),
  row(
    'flatten number',
    [],
    (x) => ops.flatten(x),
    (x) => x.reshape(1),
  ),
  row(
    'squeeze',
    [1, 4, 1, 5],
    (x) => ops.squeeze(x),
    (x) => x.reshape(4, 5),
  ),
  row(
    'squeeze axis=-2',
    [1, 4, 1, 5],
    (x) => ops.squeeze(x, -2),
    (x) => x.reshape(1, 4, 5),
  ),
  row(
    'squeeze axis=0,1',
    [1, 4, 1, 5],
    (x) => ops.squeeze(x, [0, 1]),
    (x) => x.reshape(4, 1, 5),
  ),
  row(
    'unsqueeze axis=0',
    [4, 5],
    (x) => ops.unsqueeze(x, 0),
    (x) => x.reshape(1, 4, 5),
  ),
  row(
    'unsqueeze axis=-1',
    [4, 5],
    (x) => ops.unsqueeze(x, -1),
    (x) => x.reshape(...x.shape, 1),
    { empty: [[0, 5]] },
  ),
  row(
    'permute',
    [3, 4, 5],
    (x) => ops.permute(x, 2, 0, 1),
    (x) => x.permute(2, 0, 1),
    { empty: [[3, 0, 5]] },
  ),
  row(
    'permute negative axes',
    [2, 3, 4, 5],
    (x) => ops.permute(x, [-2, 0, -1, 1]),
    (x) => x.permute(2, 0, 3, 1),
  ),
  row(
    'transpose',
    [3, 4, 5],
    (x) => ops.transpose(x, 0, -1),
    (x) => x.permute(2, 1, 0),
  ),
  row('t', [4, 5], ops.t, (x) => x.permute(1, 0)),
  row('t of a vector', [5], ops.t, (x) => x),
  row(
    'expand',
    [4, 1],
    (x) => ops.expand(x, 3, 4, 5),
    (x) => NdArray.from([3, 4, 5], (index) => x.broadcastAt(index)),
  ),
  row(
    'expand keeps sizes',
    [4, 1],
    (x) => ops.expand(x, [-1, 5]),
    (x) => NdArray.from([4, 5], (index) => x.broadcastAt(index)),
  ),
  row('slice', [3, 7, 5], (x) => ops.slice(x, 1, 2, 5), sliced(1, 2, 3)),
  row('slice step', [3, 7, 5], (x) => ops.slice(x, 1, 1, 7, 2), sliced(1, 1, 3, 2)),
  row('slice from the end', [3, 7], (x) => ops.slice(x, -1, -3), sliced(1, 4, 3)),
  row('slice clamped', [3, 7], (x) => ops.slice(x, 0, 1, 99), sliced(0, 1, 2)),
  row('slice of nothing', [3, 7], (x) => ops.slice(x, 1, 5, 5), sliced(1, 0, 0)),
  row(
    'select',
    [3, 4, 5],
    (x) => ops.select(x, 1, 2),
    from(
      ([a, , c]) => [a, c],
      ([i, k]) => [i, 2, k],
    ),
  ),
  row(
    'select from the end',
    [3, 4, 5],
    (x) => ops.select(x, -1, -1),
    from(
      ([a, b]) => [a, b],
      ([i, j]) => [i, j, 4],
    ),
  ),
  row('split piece', [7, 3], (x) => ops.split(x, 3)[2], sliced(0, 6, 1)),
  row('split sizes', [3, 7], (x) => ops.split(x, [2, 4, 1], 1)[1], sliced(1, 2, 4)),
  row('chunk piece', [3, 7], (x) => ops.chunk(x, 3, -1)[2], sliced(1, 6, 1)),
  row('pad last', [3, 4], (x) => ops.pad(x, [1, 2]), padded([3, 7], [0, 1], 0)),
  row('pad with a value', [3, 4], (x) => ops.pad(x, [1, 0, 2, 3], -7.5), padded([8, 5], [2, 1], -7.5), { empty: undefined }),
  row('clone', [3, 4], ops.clone, (x) => x, { empty: [[0, 4]] }),
  row('contiguous', [3, 4], ops.contiguous, (x) => x),
];

/** Joins of several tensors; the gradients of all are checked. */
const joins: readonly Case[] = [
  {
    family: 'shape',
    name: 'cat axis=1',
    inputs: [{ shape: [3, 2] }, { shape: [3, 4] }, { shape: [3, 1] }],
    run: (...parts) => ops.cat(parts, 1),
    reference: (...parts) => joined(1, parts),
    roundings: 0,
    empty: [
      [3, 0],
      [3, 4],
      [3, 0],
    ],
  },
  {
    family: 'shape',
    name: 'cat axis=-2',
    inputs: [{ shape: [2, 3, 4] }, { shape: [2, 5, 4] }],
    run: (...parts) => ops.cat(parts, -2),
    reference: (...parts) => joined(1, parts),
    roundings: 0,
  },
  {
    family: 'shape',
    name: 'cat of two dtypes',
    inputs: [
      { shape: [3], dtype: 'int8', domain: integers(-9, 9) },
      { shape: [4], dtype: 'int32', domain: integers(-9, 9) },
    ],
    run: (...parts) => ops.cat(parts),
    reference: (...parts) => joined(0, parts),
    output: 'int32',
  },
  ...[0, 1, -1].map((axis): Case => ({
    family: 'shape',
    name: `stack axis=${axis}`,
    inputs: [{ shape: [3, 4] }, { shape: [3, 4] }],
    run: (...parts) => ops.stack(parts, axis),
    reference: (...parts) => {
      const place = axis < 0 ? 2 : axis;
      const shape = [...parts[0].shape];
      shape.splice(place, 0, parts.length);
      return NdArray.from(shape, (index) => parts[index[place]].at(index.filter((_, i) => i !== place)));
    },
    roundings: 0,
  })),
];

function joined(axis: number, parts: NdArray[]): NdArray {
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part.shape[axis], 0));
  const length = parts.reduce((sum, part) => sum + part.shape[axis], 0);
  return NdArray.from(
    parts[0].shape.map((size, i) => (i === axis ? length : size)),
    (index) => {
      const part = starts.findIndex((start, i) => index[axis] < start + parts[i].shape[axis]);
      return parts[part].at(index.map((position, i) => (i === axis ? position - starts[part] : position)));
    },
  );
}

/** More elements than one thread takes. */
const large: readonly Case[] = [
  row(
    'contiguous of a large transpose',
    [301, 257],
    (x) => ops.contiguous(ops.t(x)),
    (x) => x.permute(1, 0),
    { gradient: false },
  ),
];

export const shapeCases: readonly Case[] = [...single, ...joins, ...large];

const x = () => ops.zeros([2, 3]);
const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'shape',
  name,
  run,
  code,
  message,
});
export const shapeFailures: readonly Failure[] = [
  failure('reshape to another count', () => ops.reshape(x(), 4), 'SHAPE_MISMATCH', /\[reshape\].*\[2, 3\]/),
  failure('two sizes to infer', () => ops.reshape(x(), -1, -1), 'INVALID_ARGUMENT'),
  failure('a view that needs a copy', () => ops.view(ops.t(x()), 6), 'INVALID_ARGUMENT', /reshape/),
  failure('flatten backwards', () => ops.flatten(x(), 1, 0), 'INVALID_ARGUMENT'),
  failure('squeeze out of range', () => ops.squeeze(x(), 2), 'INVALID_ARGUMENT'),
  failure('unsqueeze out of range', () => ops.unsqueeze(x(), 4), 'INVALID_ARGUMENT'),
  failure('permute with one axis twice', () => ops.permute(x(), 0, 0), 'INVALID_ARGUMENT'),
  failure('transpose out of range', () => ops.transpose(x(), 0, 2), 'INVALID_ARGUMENT'),
  failure('t of three dimensions', () => ops.t(ops.zeros([2, 3, 4])), 'SHAPE_MISMATCH', /transpose/),
  failure('expand of a size other than 1', () => ops.expand(x(), 2, 4), 'SHAPE_MISMATCH'),
  failure('a slice of step 0', () => ops.slice(x(), 0, 0, 2, 0), 'INVALID_ARGUMENT'),
  failure('a slice from a fraction', () => ops.slice(x(), 0, 0.5), 'INVALID_ARGUMENT'),
  failure('select out of range', () => ops.select(x(), 1, 3), 'INDEX_OUT_OF_RANGE'),
  failure('split by 0', () => ops.split(x(), 0), 'INVALID_ARGUMENT'),
  failure('split by sizes of another sum', () => ops.split(x(), [1, 1, 1]), 'SHAPE_MISMATCH'),
  failure('split by a negative size', () => ops.split(x(), [3, -1]), 'SHAPE_MISMATCH'),
  failure('chunk into 0', () => ops.chunk(x(), 0), 'INVALID_ARGUMENT'),
  failure('cat of nothing', () => ops.cat([]), 'INVALID_ARGUMENT'),
  failure('cat of other sizes', () => ops.cat([x(), ops.zeros([2, 4])]), 'SHAPE_MISMATCH'),
  failure('stack of nothing', () => ops.stack([]), 'INVALID_ARGUMENT'),
  failure('stack of two shapes', () => ops.stack([x(), ops.zeros([3, 2])]), 'SHAPE_MISMATCH'),
  failure('odd padding', () => ops.pad(x(), [1]), 'INVALID_ARGUMENT'),
  failure('padding of three dimensions', () => ops.pad(x(), [1, 1, 1, 1, 1, 1]), 'INVALID_ARGUMENT'),
  failure('negative padding', () => ops.pad(x(), [-1, 0]), 'INVALID_ARGUMENT'),
  failure('a tensor that is no list', () => ops.cat(x() as never), 'INVALID_ARGUMENT'),
];
