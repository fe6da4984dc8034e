import { amax, amin, any, argmax, cumsum, logsumexp, max, mean, min, sum, tensor, var as variance, zeros } from '../../lib/ops';
import { reduceCases, reduceFailures } from '../cases/reduce';
import type { DType } from '../../lib/tensor/dtype';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases(reduceCases, reduceFailures);

test('equal extremes share the gradient', () => {
  expect(slopesAt([1, 3, 3], (x) => max(x))).toEqual([0, 0.5, 0.5]);
  expect(slopesAt([2, 2, 2, 2], (x) => min(x, 0))).toEqual([0.25, 0.25, 0.25, 0.25]);
});

test('NaN wins extremes, and spoils sums', () => {
  const x = tensor([1, NaN, 3]);
  for (const fold of [max, min, amax, amin, sum, mean, logsumexp]) expect(fold(x).item()).toBeNaN();
  expect(argmax(x).item()).toBe(1);
});

test('infinities survive logsumexp', () => {
  expect(logsumexp(tensor([-Infinity, 0])).item()).toBe(0);
  expect(logsumexp(tensor([-Infinity, -Infinity])).item()).toBe(-Infinity);
  expect(logsumexp(tensor([Infinity, 0])).item()).toBe(Infinity);
  expect(logsumexp(tensor([1000, 1000])).item()).toBeCloseTo(1000 + Math.log(2), 3);
});

test('folds of nothing: sums are 0, means NaN', () => {
  expect(sum(zeros([0])).item()).toBe(0);
  expect(mean(zeros([0])).item()).toBeNaN();
  expect(any(zeros([0])).item()).toBe(0);
  expect(sum(zeros([0, 2]), 0).tolist()).toEqual([0, 0]);
});

test('the sum of many float16 ones is exact beyond what float16 counts', () => {
  expect(sum(tensor(Array<number>(5000).fill(1), { dtype: 'float16' })).item()).toBe(5000);
  expect(mean(tensor(Array<number>(70000).fill(1), { dtype: 'float16' })).item()).toBe(1);
});

test('the variance of numbers far from 0 does not cancel', () => {
  const x = tensor([10000.5, 10001.5, 10000.5, 10001.5]);
  expect(variance(x, { correction: 0 }).item()).toBe(0.25);
  expect(variance(x).item()).toBeCloseTo(1 / 3, 6);
  expect(variance(tensor([1])).item()).toBeNaN();
});

test('mean and variance of a tensor without dims have slopes', () => {
  expect(slopesAt(3, (x) => mean(x, -1))).toBe(1);
  expect(slopesAt(3, (x) => variance(x, { axis: 0, correction: 0 }))).toBe(0);
});

test('the slope of a running sum is one from the other end, not a difference', () => {
  const slopes = (values: number[], weights: number[], dtype: DType) => {
    const x = tensor(values, { dtype, requiresGrad: true });
    cumsum(x, -1).backward(tensor(weights, { dtype }));
    return x.grad!.to('float32').tolist() as number[];
  };
  expect(slopes([1, 1, 1, 1], [1e8, 1, 1, 1], 'float32')).toEqual([1e8, 3, 2, 1]);
  expect(slopes([1, 1, 1], [1, Infinity, 2], 'float32')).toEqual([Infinity, Infinity, 2]);
  const many = slopes(Array<number>(2048).fill(1), Array<number>(2048).fill(1), 'bfloat16');
  expect(many.slice(-12)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  const rows = tensor([[1, 2], [3, 4], [5, 6]], { requiresGrad: true }); // prettier-ignore
  cumsum(rows, 0).sum().backward();
  expect(rows.grad?.tolist()).toEqual([[3, 3], [2, 2], [1, 1]]); // prettier-ignore
});

test('more equal extremes than float16 counts share the gradient', () => {
  const x = zeros([70000], { dtype: 'float16', requiresGrad: true });
  max(x).backward();
  expect(x.grad?.select(0, 0).to('float32').item()).toBeCloseTo(1 / 70000, 7);
});
