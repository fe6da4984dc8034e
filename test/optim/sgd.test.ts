import { SGD, type SGDOptions } from '../../lib/optim';
import { codeOf } from '../harness/errors';
import { follow, newParameter, relativeError, type Rule, start, trainStep } from './reference';

const rule =
  ({ lr, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false }: Partial<SGDOptions> & { lr: number }): Rule =>
  (x, gradient, s, step) => {
    const g = gradient + weightDecay * x;
    if (momentum === 0) return x - lr * g;
    s.velocity = step === 1 ? g : momentum * s.velocity + (1 - dampening) * g;
    return x - lr * (nesterov ? g + momentum * s.velocity : s.velocity);
  };

test.each<Partial<SGDOptions> & { lr: number }>([
  { lr: 0.02 },
  { lr: 0.02, weightDecay: 0.1 },
  { lr: 0.01, momentum: 0.9 },
  { lr: 0.01, momentum: 0.9, dampening: 0.5, weightDecay: 0.01 },
  { lr: 0.01, momentum: 0.8, nesterov: true },
])('25 steps with %p follow the float64 rule', (options) => {
  const parameter = newParameter();
  const optimizer = new SGD([parameter], options);
  for (let step = 0; step < 25; step++) trainStep(parameter, optimizer);
  const expected = follow(rule(options), 25);
  expect(relativeError(parameter.dataSync() as Float32Array, expected)).toBeLessThan(2e-6);
  expect(relativeError(start, expected)).toBeGreaterThan(0.1);
});

test('options that make no sense are refused', () => {
  const refused = (options: Partial<SGDOptions> & { lr: number }) => {
    expect(codeOf(() => new SGD([newParameter()], options))).toBe('INVALID_ARGUMENT');
  };
  refused({ lr: -1 });
  refused({ lr: NaN });
  refused({ lr: 0.1, momentum: -0.1 });
  refused({ lr: 0.1, weightDecay: Infinity });
  refused({ lr: 0.1, nesterov: true });
  refused({ lr: 0.1, momentum: 0.9, dampening: 0.1, nesterov: true });
});
