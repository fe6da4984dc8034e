import { CrossEntropyLoss, MSELoss, NLLLoss } from '../../lib/nn';
import { tensor } from '../../lib/ops';

const logits = [[1, 2, 0.5], [0, -1, 3]]; // prettier-ignore
const logProbabilities = logits.map((row) => row.map((value) => value - Math.log(row.reduce((total, v) => total + Math.exp(v), 0))));
const target = tensor([1, 0], { dtype: 'int64' });
const losses = [-logProbabilities[0][1], -logProbabilities[1][0]];

test('CrossEntropyLoss and NLLLoss', () => {
  expect(new CrossEntropyLoss().forward(tensor(logits), target).item()).toBeCloseTo((losses[0] + losses[1]) / 2, 5);
  expect(new CrossEntropyLoss({ reduction: 'sum' }).forward(tensor(logits), target).item()).toBeCloseTo(losses[0] + losses[1], 5);
  expect(new CrossEntropyLoss({ ignoreIndex: 0 }).forward(tensor(logits), target).item()).toBeCloseTo(losses[0], 5);
  expect(new NLLLoss().forward(tensor(logProbabilities), target).item()).toBeCloseTo((losses[0] + losses[1]) / 2, 5);
  const smoothed = logProbabilities.map((row, i) => 0.9 * losses[i] - (0.1 * row.reduce((a, b) => a + b)) / 3);
  const smooth = new CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(tensor(logits), target).item();
  expect(smooth).toBeCloseTo((smoothed[0] + smoothed[1]) / 2, 5);
});

test('MSELoss', () => {
  const [a, b] = [tensor([1, 2]), tensor([3, 5])];
  expect(new MSELoss().forward(a, b).item()).toBe(6.5);
  expect(new MSELoss({ reduction: 'none' }).forward(a, b).tolist()).toEqual([4, 9]);
});
