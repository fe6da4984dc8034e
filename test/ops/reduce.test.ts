import { amax, amin, any, argmax, logsumexp, max, mean, min, sum, tensor, var as variance, zeros } from '../../lib/ops';
import { reduceCases, reduceFailures } from '../cases/reduce';
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
