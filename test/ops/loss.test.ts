import { binaryCrossEntropyWithLogits, crossEntropy, huberLoss, nllLoss, smoothL1Loss, tensor } from '../../lib/ops';
import { lossCases, lossFailures } from '../cases/loss';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases(lossCases, lossFailures);

test('classes are integers of any dtype', () => {
  const [logits, classes] = [tensor([[5, 0], [0, 5]]), [0, 1]]; // prettier-ignore
  const expected = crossEntropy(logits, tensor(classes, { dtype: 'int64' })).item();
  for (const dtype of ['uint8', 'int8', 'int32'] as const) {
    expect(crossEntropy(logits, tensor(classes, { dtype })).item()).toBe(expected);
    expect(nllLoss(logits, tensor(classes, { dtype })).item()).toBe(-5);
  }
});

test('huberLoss has a slope of delta at an infinite distance', () => {
  const target = tensor([0, 0, 0, 0]);
  expect(slopesAt([Infinity, -Infinity, 3, 1], (x) => huberLoss(x, target, { delta: 2, reduction: 'sum' }))).toEqual([2, -2, 2, 1]);
  expect(slopesAt([Infinity, -Infinity, 3, 1], (x) => smoothL1Loss(x, target, { beta: 2, reduction: 'sum' }))).toEqual([1, -1, 1, 0.5]);
});

test('binaryCrossEntropyWithLogits of sure logits keeps what is left', () => {
  const losses = binaryCrossEntropyWithLogits(tensor([20, 30, -20, 0]), tensor([1, 1, 0, 1]), { reduction: 'none' }).tolist() as number[];
  [20, 30, 20].forEach((logit, i) => expect(losses[i] / Math.log1p(Math.exp(-logit))).toBeCloseTo(1, 6));
  expect(losses[3]).toBeCloseTo(Math.LN2, 7);
});
