import { Dropout } from '../../lib/nn';
import { manualSeed, ones } from '../../lib/ops';
import { codeOf } from '../harness/errors';

test('drops the wanted share in training and scales the rest', () => {
  manualSeed(4);
  const count = 10_000;
  const values = new Dropout(0.2).forward(ones([count])).tolist() as number[];
  expect(new Set(values)).toEqual(new Set([0, 1.25]));
  const dropped = values.filter((value) => value === 0).length;
  // Five deviations of a binomial count.
  expect(Math.abs(dropped - 0.2 * count)).toBeLessThan(5 * Math.sqrt(0.2 * 0.8 * count));
});

test('gives back its input in evaluation', () => {
  const src = ones([3]);
  expect(new Dropout(0.9).eval().forward(src)).toBe(src);
});

test('the gradient passes where values passed', () => {
  manualSeed(4);
  const src = ones([50], { requiresGrad: true });
  const out = new Dropout().forward(src);
  out.sum().backward();
  expect(src.grad?.equal(out.detach())).toBe(true);
});

test('a share outside of 0 to 1 is refused', () => {
  for (const p of [-0.1, 1.1, NaN]) expect(codeOf(() => new Dropout(p))).toBe('INVALID_ARGUMENT');
});
