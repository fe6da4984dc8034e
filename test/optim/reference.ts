// A quadratic problem and the rules of torch.optim in float64, to compare the native steps with.
import { mul, sub, sum, tensor } from '../../lib/ops';
import type { SGD } from '../../lib/optim';
import { tidy } from '../../lib/tensor/scope';
import { Parameter } from '../../lib/tensor/tensor';

export const start = [0.5, -1.25, 2, 0, 3.5, -0.75];
const curvature = [1, 0.5, 2, 3, 0.1, 10];
const target = [1, 1, -1, 0.25, 4, 0];

/** The gradient of sum(curvature * (x - target)^2). */
export function gradientAt(x: readonly number[]): number[] {
  return x.map((value, i) => 2 * curvature[i] * (value - target[i]));
}

/** The update of one number; `s` keeps what the rule remembers, `step` counts from 1. */
export type Rule = (x: number, gradient: number, s: Record<string, number>, step: number) => number;

/** Where a rule leads in so many steps from `start`. */
export function follow(rule: Rule, steps: number): number[] {
  const states: Record<string, number>[] = start.map(() => ({}));
  let x = [...start];
  for (let step = 1; step <= steps; step++) {
    const gradient = gradientAt(x);
    x = x.map((value, i) => rule(value, gradient[i], states[i], step));
  }
  return x;
}

export const newParameter = (): Parameter => new Parameter(tensor(start, { shape: [2, 3] }));

/** One ordinary training step: gradients by backward(), then the optimizer. */
export function trainStep(parameter: Parameter, optimizer: Pick<SGD, 'step' | 'zeroGrad'>): void {
  tidy(() => {
    optimizer.zeroGrad();
    const error = sub(parameter, tensor(target, { shape: [2, 3] }));
    sum(mul(mul(error, error), tensor(curvature, { shape: [2, 3] }))).backward();
    optimizer.step();
  });
}

/** Largest difference relative to the largest value. */
export function relativeError(actual: ArrayLike<number>, expected: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(actual[i] - value))) / largest;
}
