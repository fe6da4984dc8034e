import { Parameter } from '../../lib/nn';
import { ones } from '../../lib/ops';
import { CosineAnnealingLR, SGD, StepLR } from '../../lib/optim';
import { codeOf } from '../harness/errors';

const optimizerOf = (...rates: number[]) => ({ paramGroups: rates.map((lr) => ({ lr })) });

test('StepLR multiplies every group by gamma each stepSize steps', () => {
  const optimizer = optimizerOf(1, 0.5);
  const schedule = new StepLR(optimizer, { stepSize: 2, gamma: 0.5 });
  const rates = Array.from({ length: 5 }, () => {
    schedule.step();
    return optimizer.paramGroups.map(({ lr }) => lr);
  });
  expect(rates).toEqual([
    [1, 0.5],
    [0.5, 0.25],
    [0.5, 0.25],
    [0.25, 0.125],
    [0.25, 0.125],
  ]);
});

test('CosineAnnealingLR goes through the middle to the end, and stays there', () => {
  const optimizer = optimizerOf(1);
  const schedule = new CosineAnnealingLR(optimizer, { totalSteps: 4, minRate: 0.2 });
  const rates = Array.from({ length: 6 }, () => {
    schedule.step();
    return optimizer.paramGroups[0].lr;
  });
  const root = Math.SQRT1_2;
  [0.6 + 0.4 * root, 0.6, 0.6 - 0.4 * root, 0.2, 0.2, 0.2].forEach((rate, i) => expect(rates[i]).toBeCloseTo(rate, 12));
});

test('lengths must be integers above 0', () => {
  expect(codeOf(() => new StepLR(optimizerOf(1), { stepSize: 0 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new CosineAnnealingLR(optimizerOf(1), { totalSteps: 1.5 }))).toBe('INVALID_ARGUMENT');
});

test('a group that was added later has its own rate as base', () => {
  const optimizer = new SGD([new Parameter(ones([2]))], { lr: 1 });
  const schedule = new StepLR(optimizer, { stepSize: 1, gamma: 0.5 });
  schedule.step();
  optimizer.addParamGroup({ params: [new Parameter(ones([2]))], lr: 0.8 });
  schedule.step();
  expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.25, 0.2]);
});
