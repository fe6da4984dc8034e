import { maxPool2d, ones, tensor } from '../../lib/ops';
import { convCases, convFailures } from '../cases/conv';
import { convStepCases } from '../cases/conv-steps';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases([...convCases, ...convStepCases], convFailures);

test('the first of equal maxima takes the gradient', () => {
  expect(slopesAt([[[1, 1], [1, 1]]], (x) => maxPool2d(x, 2))).toEqual([[[1, 0], [0, 0]]]); // prettier-ignore
});

test('padding never wins a maximum, and NaN does', () => {
  expect(
    maxPool2d(ones([1, 2, 2]).mul(-5), 2, { stride: 1, padding: 1 })
      .max()
      .item(),
  ).toBe(-5);
  expect(maxPool2d(tensor([[[1, NaN], [3, 4]]]), 2).item()).toBeNaN(); // prettier-ignore
});
