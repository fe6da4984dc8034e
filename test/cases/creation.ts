import * as ops from '../../lib/ops';
import type { Device } from '../../lib/tensor/device';
import type { DType } from '../../lib/tensor/dtype';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { NdArray, type Shape } from '../harness/ndarray';

function row(
  name: string,
  make: (options: { device: Device }) => Tensor,
  shape: Shape,
  element: (index: number[]) => number,
  output: DType = 'float32',
): Case {
  return {
    family: 'creation',
    name,
    inputs: [],
    run: () => make({ device: 'cpu' }),
    make: (device) => make({ device }),
    reference: () => NdArray.from(shape, element),
    output,
    roundings: 2,
    gradient: false,
  };
}

export const creationCases: readonly Case[] = [
  row(
    'zeros',
    (at) => ops.zeros([2, 3], at),
    [2, 3],
    () => 0,
  ),
  row(
    'ones',
    (at) => ops.ones([2, 3], { dtype: 'int8', ...at }),
    [2, 3],
    () => 1,
    'int8',
  ),
  row(
    'full',
    (at) => ops.full([3], 2.5, at),
    [3],
    () => 2.5,
  ),
  row(
    'full of a number',
    (at) => ops.full([], -7, { dtype: 'int64', ...at }),
    [],
    () => -7,
    'int64',
  ),
  row(
    'full bool',
    (at) => ops.full([2], 1, { dtype: 'bool', ...at }),
    [2],
    () => 1,
    'bool',
  ),
  row(
    'full of nothing',
    (at) => ops.full([0, 3], 1, at),
    [0, 3],
    () => 1,
  ),
  row(
    'fullLike',
    (at) => ops.fullLike(ops.zeros([2], { dtype: 'int32', ...at }), 3),
    [2],
    () => 3,
    'int32',
  ),
  row(
    'zerosLike',
    (at) => ops.zerosLike(ops.ones([2, 2], at)),
    [2, 2],
    () => 0,
  ),
  row(
    'onesLike',
    (at) => ops.onesLike(ops.zeros([2, 2], at), { dtype: 'float16' }),
    [2, 2],
    () => 1,
    'float16',
  ),
  row(
    'arange',
    (at) => ops.arange(0, 5, 1, at),
    [5],
    ([i]) => i,
    'int64',
  ),
  row(
    'arange to',
    () => ops.arange(5),
    [5],
    ([i]) => i,
    'int64',
  ),
  row(
    'arange from',
    () => ops.arange(2, 9),
    [7],
    ([i]) => 2 + i,
    'int64',
  ),
  row(
    'arange step',
    (at) => ops.arange(9, 2, -2, at),
    [4],
    ([i]) => 9 - 2 * i,
    'int64',
  ),
  row(
    'arange fraction',
    (at) => ops.arange(0, 1, 0.1, at),
    [10],
    ([i]) => i * 0.1,
  ),
  row(
    'arange of nothing',
    () => ops.arange(0),
    [0],
    () => 0,
    'int64',
  ),
  row(
    'arange large',
    (at) => ops.arange(0, 70_001, 1, at),
    [70_001],
    ([i]) => i,
    'int64',
  ),
  row(
    'eye',
    (at) => ops.eye(3, 3, at),
    [3, 3],
    ([i, j]) => Number(i === j),
  ),
  row(
    'eye wide',
    (at) => ops.eye(2, 4, { dtype: 'int32', ...at }),
    [2, 4],
    ([i, j]) => Number(i === j),
    'int32',
  ),
  row(
    'eye tall',
    (at) => ops.eye(4, 2, at),
    [4, 2],
    ([i, j]) => Number(i === j),
  ),
];

const failure = (name: string, run: () => unknown, code: Failure['code'], message?: RegExp): Failure => ({
  family: 'creation',
  name,
  run,
  code,
  message,
});
export const creationFailures: readonly Failure[] = [
  failure('a negative size', () => ops.zeros([2, -1]), 'INVALID_ARGUMENT'),
  failure('a fraction as a size', () => ops.zeros([1.5]), 'INVALID_ARGUMENT'),
  failure('a shape that is no array', () => ops.zeros(3 as never), 'INVALID_ARGUMENT'),
  failure('more than any memory', () => ops.zeros([2 ** 40, 2 ** 40]), 'OUT_OF_MEMORY'),
  failure('more dimensions than there are', () => ops.zeros(Array<number>(20).fill(1)), 'INVALID_ARGUMENT'),
  failure('an unknown dtype', () => ops.zeros([2], { dtype: 'float64' as never }), 'INVALID_ARGUMENT', /float64/),
  failure('a step of 0', () => ops.arange(0, 3, 0), 'INVALID_ARGUMENT'),
  failure('an endless range', () => ops.arange(0, Infinity), 'INVALID_ARGUMENT'),
  failure('gradients of integers', () => ops.zeros([2], { dtype: 'int32', requiresGrad: true }), 'DTYPE_MISMATCH'),
];
