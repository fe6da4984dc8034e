import * as ops from '../../lib/ops';
import type { DType } from '../../lib/tensor/dtype';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { NdArray, type Shape } from '../harness/ndarray';

function row(name: string, run: () => Tensor, shape: Shape, element: (index: number[]) => number, output: DType = 'float32'): Case {
  return {
    family: 'creation',
    name,
    inputs: [],
    run,
    reference: () => NdArray.from(shape, element),
    output,
    roundings: 2,
    gradient: false,
  };
}

export const creationCases: readonly Case[] = [
  row(
    'zeros',
    () => ops.zeros([2, 3]),
    [2, 3],
    () => 0,
  ),
  row(
    'ones',
    () => ops.ones([2, 3], { dtype: 'int8' }),
    [2, 3],
    () => 1,
    'int8',
  ),
  row(
    'full',
    () => ops.full([3], 2.5),
    [3],
    () => 2.5,
  ),
  row(
    'full of a number',
    () => ops.full([], -7, { dtype: 'int64' }),
    [],
    () => -7,
    'int64',
  ),
  row(
    'full bool',
    () => ops.full([2], 1, { dtype: 'bool' }),
    [2],
    () => 1,
    'bool',
  ),
  row(
    'full of nothing',
    () => ops.full([0, 3], 1),
    [0, 3],
    () => 1,
  ),
  row(
    'fullLike',
    () => ops.fullLike(ops.zeros([2], { dtype: 'int32' }), 3),
    [2],
    () => 3,
    'int32',
  ),
  row(
    'zerosLike',
    () => ops.zerosLike(ops.ones([2, 2])),
    [2, 2],
    () => 0,
  ),
  row(
    'onesLike',
    () => ops.onesLike(ops.zeros([2, 2]), { dtype: 'float16' }),
    [2, 2],
    () => 1,
    'float16',
  ),
  row(
    'arange',
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
    () => ops.arange(9, 2, -2),
    [4],
    ([i]) => 9 - 2 * i,
    'int64',
  ),
  row(
    'arange fraction',
    () => ops.arange(0, 1, 0.1),
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
    () => ops.arange(70_001),
    [70_001],
    ([i]) => i,
    'int64',
  ),
  row(
    'eye',
    () => ops.eye(3),
    [3, 3],
    ([i, j]) => Number(i === j),
  ),
  row(
    'eye wide',
    () => ops.eye(2, 4, { dtype: 'int32' }),
    [2, 4],
    ([i, j]) => Number(i === j),
    'int32',
  ),
  row(
    'eye tall',
    () => ops.eye(4, 2),
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
