import { Flatten, Identity } from '../../lib/nn';
import { ones } from '../../lib/ops';

test('Flatten keeps the batch by default', () => {
  const src = ones([2, 3, 4, 5]);
  expect(new Flatten().forward(src).shape).toEqual([2, 60]);
  expect(new Flatten(1, 2).forward(src).shape).toEqual([2, 12, 5]);
  expect(new Flatten(0).forward(src).shape).toEqual([120]);
});

test('Identity gives back its input', () => {
  const src = ones([1]);
  expect(new Identity().forward(src)).toBe(src);
});
