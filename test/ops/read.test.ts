import { allclose, equal, item, tensor, tolist, zeros } from '../../lib/ops';
import { expectError } from '../harness/errors';

test('item reads one element of any dtype as a number', () => {
  expect(item(tensor(2.5))).toBe(2.5);
  expect(item(tensor([[7]], { dtype: 'int64' }))).toBe(7);
  expect(item(tensor([true]))).toBe(1);
  expect(item(tensor([1.5], { dtype: 'float16' }))).toBe(1.5);
  expect(item(tensor(NaN))).toBeNaN();
  expectError(() => item(zeros([2])), 'SHAPE_MISMATCH', /\[item\].*\[2\]/);
  expectError(() => item(zeros([0])), 'SHAPE_MISMATCH');
});

test('tolist nests as deep as the tensor has dimensions', () => {
  expect(tolist(tensor(3))).toBe(3);
  expect(tolist(tensor([[1, 2], [3, 4]], { dtype: 'bfloat16' }).t())).toEqual([[1, 3], [2, 4]]); // prettier-ignore
  expect(tolist(tensor([true, false]))).toEqual([true, false]);
  expect(tolist(tensor([-1, 2], { dtype: 'int8' }))).toEqual([-1, 2]);
  expect(tolist(zeros([2, 0, 3]))).toEqual([[], []]);
});

test('equal compares shapes and values across dtypes; NaN equals nothing', () => {
  expect(equal(tensor([1, 2]), tensor([1, 2], { dtype: 'int32' }))).toBe(true);
  expect(equal(tensor([1, 2]), tensor([1, 3]))).toBe(false);
  expect(equal(tensor([1, 1]), tensor([1]))).toBe(false);
  expect(equal(tensor([NaN]), tensor([NaN]))).toBe(false);
  expect(equal(zeros([0, 3]), zeros([0, 3]))).toBe(true);
  expect(equal(zeros([0, 3]), zeros([3, 0]))).toBe(false);
});

test('allclose allows atol + rtol * |b|', () => {
  expect(allclose(tensor([1]), tensor([1 + 9e-6]))).toBe(true);
  expect(allclose(tensor([1]), tensor([1 + 2e-5]))).toBe(false);
  expect(allclose(tensor([0]), tensor([1e-3]), { atol: 2e-3 })).toBe(true);
  expect(allclose(tensor([Infinity]), tensor([Infinity]))).toBe(true);
  expect(allclose(tensor([1]), tensor([Infinity]))).toBe(false);
  expect(allclose(tensor([-Infinity]), tensor([Infinity]))).toBe(false);
  expect(allclose(tensor([NaN]), tensor([NaN]))).toBe(false);
  expect(allclose(tensor([1, 1]), tensor([1]))).toBe(false);
});
