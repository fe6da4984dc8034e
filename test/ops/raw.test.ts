import { ones, tensor } from '../../lib/ops';
import * as raw from '../../lib/ops/raw';
import { expectError } from '../harness/errors';

test('raw calls record nothing', () => {
  const x = tensor([1, 2], { requiresGrad: true });
  expect(raw.mul(x, 2).requiresGrad).toBe(false);
  expect(raw.reduce('sum', x, [], false).requiresGrad).toBe(false);
});

test('mask passes values where the condition holds and gives 0 elsewhere, also for NaN and infinity', () => {
  const values = tensor([1, NaN, Infinity]);
  expect(raw.mask(values, tensor([true, false, false])).tolist()).toEqual([1, 0, 0]);
});

test('full and zeros take dtype and device of another tensor', () => {
  const like = ones([1], { dtype: 'bfloat16' });
  expect(raw.full([2], 3, like).dtype).toBe('bfloat16');
  expect(raw.zeros([2], like).tolist()).toEqual([0, 0]);
});

test('axes count from the end when they are negative', () => {
  expect([0, 2, -1, -3].map((axis) => raw.wrapAxis(axis, 3))).toEqual([0, 2, 2, 0]);
  expect(raw.axisOf('op', -1, 0)).toBe(0);
  for (const axis of [3, -4, 0.5, NaN]) expectError(() => raw.axisOf('op', axis, 3), 'INVALID_ARGUMENT', /\[op\].*-3 to 2/);
});

test('transposeLast swaps the last two dims', () => {
  expect(raw.transposeLast(ones([2, 3, 4])).shape).toEqual([2, 4, 3]);
});
