import { QuantoError } from '../tensor/error';

/** What a schedule needs of an optimizer. */
interface HasLearningRates {
  readonly paramGroups: readonly { lr: number }[];
}

/** Sets learning rates from the number of `step()` calls; rates at the time of construction, or of groups added later, are the base. */
abstract class Scheduler {
  private readonly base = new WeakMap<object, number>();
  private steps = 0;

  constructor(private readonly optimizer: HasLearningRates) {
    for (const group of optimizer.paramGroups) this.base.set(group, group.lr);
  }

  /** The rate after a number of steps. */
  protected abstract rate(base: number, steps: number): number;

  /** Once an epoch, or once an update, after the optimizer's own step. */
  step(): void {
    this.steps++;
    for (const group of this.optimizer.paramGroups) {
      const base = this.base.get(group) ?? group.lr;
      this.base.set(group, base);
      group.lr = this.rate(base, this.steps);
    }
  }
}

/** Multiplies the rates by gamma every `stepSize` steps. */
export class StepLR extends Scheduler {
  constructor(
    optimizer: HasLearningRates,
    private readonly options: { stepSize: number; gamma?: number },
  ) {
    super(optimizer);
    requirePositive('StepLR', 'stepSize', options.stepSize);
  }

  protected rate(base: number, steps: number): number {
    return base * (this.options.gamma ?? 0.1) ** Math.floor(steps / this.options.stepSize);
  }
}

/** Half a cosine from the base rate to `minRate` in `totalSteps`, and `minRate` from then on (Loshchilov and Hutter 2017, no restarts). */
export class CosineAnnealingLR extends Scheduler {
  constructor(
    optimizer: HasLearningRates,
    private readonly options: { totalSteps: number; minRate?: number },
  ) {
    super(optimizer);
    requirePositive('CosineAnnealingLR', 'totalSteps', options.totalSteps);
  }

  protected rate(base: number, steps: number): number {
    const { totalSteps, minRate = 0 } = this.options;
    const done = Math.min(steps / totalSteps, 1);
    return minRate + ((base - minRate) * (1 + Math.cos(Math.PI * done))) / 2;
  }
}

function requirePositive(scheduler: string, name: string, value: number): void {
  if (Number.isInteger(value) && value > 0) return;
  throw new QuantoError('INVALID_ARGUMENT', `[${scheduler}] expected ${name} to be an integer of at least 1 but got ${value}`);
}
