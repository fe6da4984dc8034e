import { Adam, AdamW, type AdamOptions } from '../../lib/optim';
import { codeOf } from '../harness/errors';
import { follow, newParameter, relativeError, type Rule, start, trainStep } from './reference';

const rule =
  (options: Partial<AdamOptions>, decoupled: boolean): Rule =>
  (x, gradient, s, step) => {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = decoupled ? 0.01 : 0 } = options;
    const shrunk = decoupled ? x * (1 - lr * weightDecay) : x;
    const g = decoupled ? gradient : gradient + weightDecay * x;
    s.mean = betas[0] * (s.mean ?? 0) + (1 - betas[0]) * g;
    s.square = betas[1] * (s.square ?? 0) + (1 - betas[1]) * g * g;
    const mean = s.mean / (1 - betas[0] ** step);
    const square = s.square / (1 - betas[1] ** step);
    return shrunk - (lr * mean) / (Math.sqrt(square) + eps);
  };

const cases: Partial<AdamOptions>[] = [{ lr: 0.05 }, { lr: 0.1, betas: [0.8, 0.9], eps: 1e-3 }, { lr: 0.05, weightDecay: 0.3 }];

test.each(cases)('25 steps of Adam with %p follow the float64 rule', (options) => {
  const parameter = newParameter();
  const optimizer = new Adam([parameter], options);
  for (let step = 0; step < 25; step++) trainStep(parameter, optimizer);
  const expected = follow(rule(options, false), 25);
  expect(relativeError(parameter.dataSync() as Float32Array, expected)).toBeLessThan(5e-6);
  expect(relativeError(start, expected)).toBeGreaterThan(0.1);
});

test.each(cases)('25 steps of AdamW with %p follow the float64 rule', (options) => {
  const parameter = newParameter();
  const optimizer = new AdamW([parameter], options);
  for (let step = 0; step < 25; step++) trainStep(parameter, optimizer);
  expect(relativeError(parameter.dataSync() as Float32Array, follow(rule(options, true), 25))).toBeLessThan(5e-6);
});

test('decay is what tells AdamW from Adam', () => {
  const ends = [Adam, AdamW].map((Kind) => {
    const parameter = newParameter();
    const optimizer = new Kind([parameter], { lr: 0.05, weightDecay: 0.5 });
    for (let step = 0; step < 10; step++) trainStep(parameter, optimizer);
    return [...(parameter.dataSync() as Float32Array)];
  });
  expect(relativeError(ends[0], ends[1])).toBeGreaterThan(0.01);
});

test('betas outside of [0, 1) are refused', () => {
  for (const beta of [1, -0.1, NaN]) {
    expect(codeOf(() => new Adam([newParameter()], { betas: [0.9, beta] }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new Adam([newParameter()], { betas: beta as never }))).toBe('INVALID_ARGUMENT');
  }
});
