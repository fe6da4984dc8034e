import { div, maskedFill, maximum, minimum, mul, pow, tensor, where } from '../../lib/ops';
import { binaryCases, binaryFailures } from '../cases/binary';
import type { DType } from '../../lib/tensor/dtype';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases(binaryCases, binaryFailures);

test('equal operands of maximum and minimum share the gradient', () => {
  expect(slopesAt([1, 2, 3], (x) => maximum(x, tensor([2, 2, 2])))).toEqual([0, 0.5, 1]);
  expect(slopesAt([1, 2, 3], (x) => minimum(x, 2))).toEqual([1, 0.5, 0]);
  expect(slopesAt([5], (x) => maximum(x, x))).toEqual([1]);
});

test('powers with a zero have finite gradients where PyTorch has', () => {
  expect(slopesAt([0, 2], (x) => pow(x, 0))).toEqual([0, 0]);
  expect(slopesAt([0, 2], (x) => pow(x, tensor([0, 0])))).toEqual([0, 0]);
  expect(slopesAt([0, 3], (x) => pow(x, 2))).toEqual([0, 6]);
  expect(slopesAt([1, 2], (x) => pow(tensor([0, 0]), x))).toEqual([0, 0]);
  expect(slopesAt([1, 2], (x) => pow(0, x))).toEqual([0, 0]);
});

test('what where and maskedFill leave out has gradient 0, whatever its slope', () => {
  const src = [0, 4];
  expect(slopesAt(src, (x) => where(x.gt(0), x.square(), x.mul(3)))).toEqual([3, 8]);
  expect(slopesAt(src, (x) => maskedFill(x, tensor([true, false]), NaN).slice(0, 1))).toEqual([0, 1]);
});

test('an operand that is used twice collects both gradients', () => {
  expect(slopesAt([3], (x) => mul(x, x))).toEqual([6]);
  expect(slopesAt([3], (x) => div(x, x))).toEqual([0]);
});

test('a number takes the dtype of the tensor, and a fraction makes integers float32', () => {
  expect(tensor([1, 2], { dtype: 'int8' }).add(1).dtype).toBe('int8');
  expect(tensor([1, 2], { dtype: 'int8' }).mul(0.5).dtype).toBe('float32');
  expect(tensor([1, 2], { dtype: 'bfloat16' }).mul(0.5).dtype).toBe('bfloat16');
  expect(tensor([1, 2], { dtype: 'int8' }).div(2).dtype).toBe('float32');
  expect(tensor([true]).add(1).dtype).toBe('int64');
});

test('a 0-d tensor takes part in promotion only by its kind', () => {
  expect(tensor([1], { dtype: 'int8' }).add(tensor(1, { dtype: 'int64' })).dtype).toBe('int8');
  expect(tensor([1], { dtype: 'float16' }).mul(tensor(2)).dtype).toBe('float16');
  expect(tensor([1], { dtype: 'int8' }).mul(tensor(2, { dtype: 'float16' })).dtype).toBe('float16');
});

test('the slope of a quotient along its divisor stays in range', () => {
  const slope = (a: number, b: number, dtype: DType) => {
    const divisor = tensor([b], { dtype, requiresGrad: true });
    div(tensor([a], { dtype }), divisor)
      .sum()
      .backward();
    return divisor.grad!.to('float32').item();
  };
  expect(slope(4, 300, 'float16') / (-4 / 300 ** 2)).toBeCloseTo(1, 2);
  expect(slope(4, 1e20, 'float32') / -4e-40).toBeCloseTo(1, 3);
  expect(slope(1e-20, 1e-23, 'float32') / -1e26).toBeCloseTo(1, 5);
});
