import { Adadelta, type AdadeltaOptions } from '../../lib/optim';
import { codeOf } from '../harness/errors';
import { follow, newParameter, relativeError, type Rule, start, trainStep } from './reference';

const rule =
  ({ lr = 1, rho = 0.9, eps = 1e-6, weightDecay = 0 }: Partial<AdadeltaOptions>): Rule =>
  (x, gradient, s) => {
    const g = gradient + weightDecay * x;
    s.squares = rho * (s.squares ?? 0) + (1 - rho) * g * g;
    const delta = (Math.sqrt((s.deltas ?? 0) + eps) / Math.sqrt(s.squares + eps)) * g;
    s.deltas = rho * (s.deltas ?? 0) + (1 - rho) * delta * delta;
    return x - lr * delta;
  };

test.each<Partial<AdadeltaOptions>>([{}, { lr: 0.5, rho: 0.5, eps: 1e-2 }, { weightDecay: 0.3, eps: 1e-3 }])(
  '40 steps with %p follow the float64 rule',
  (options) => {
    const parameter = newParameter();
    const optimizer = new Adadelta([parameter], options);
    for (let step = 0; step < 40; step++) trainStep(parameter, optimizer);
    const expected = follow(rule(options), 40);
    expect(relativeError(parameter.dataSync() as Float32Array, expected)).toBeLessThan(5e-6);
    expect(relativeError(start, expected)).toBeGreaterThan(0.01);
  },
);

test('a rho above 1 is refused', () => {
  expect(codeOf(() => new Adadelta([newParameter()], { rho: 1.1 }))).toBe('INVALID_ARGUMENT');
});
