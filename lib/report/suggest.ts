import type { QuantizationMap } from '../quantize';
import { QuantoError } from '../tensor/error';

import type { Sensitivity, Trial } from './sensitivity-result';

/** What a mixed model may cost: one of the two. */
export interface Budget {
  /** Most bytes of parameters and buffers. */
  maxBytes?: number;
  /** Most loss, in the unit of the metric. */
  maxLoss?: number;
}

/** What a module becomes: a trial, or null for float. */
type Choice = Trial | null;

// A gain is likely to be noise, and must not pay for the loss of another module.
const lossOf = (choice: Choice): number => (choice ? Math.max(0, choice.loss) : 0);
const savedBy = (choice: Choice): number => choice?.savedBytes ?? 0;

/** The modules of a model and what each becomes. */
class Plan {
  private readonly trials = new Map<string, Trial[]>();
  private readonly choices = new Map<string, Choice>();

  constructor(private readonly sensitivity: Sensitivity) {
    for (const trial of sensitivity.trials) {
      const known = this.trials.get(trial.name);
      if (known) known.push(trial);
      else this.trials.set(trial.name, [trial]);
      this.choices.set(trial.name, null);
    }
  }

  private sum(of: (choice: Choice) => number, without?: string): number {
    return [...this.choices].reduce((sum, [name, choice]) => (name === without ? sum : sum + of(choice)), 0);
  }

  get bytes(): number {
    return this.sensitivity.floatBytes - this.sum(savedBy);
  }

  get smallestBytes(): number {
    const most = [...this.trials.values()].map((trials) => Math.max(0, ...trials.map(savedBy)));
    return this.sensitivity.floatBytes - most.reduce((sum, saved) => sum + saved, 0);
  }

  /** Takes the step, to float or to another qtype, that saves bytes at the least loss a byte; false where none is left. */
  saveMore(maxLoss = Infinity): boolean {
    let best: { trial: Trial; price: number } | null = null;
    for (const [name, trials] of this.trials) {
      const current = this.choices.get(name) ?? null;
      const others = this.sum(lossOf, name);
      for (const trial of trials) {
        const saved = trial.savedBytes - savedBy(current);
        if (saved <= 0 || others + lossOf(trial) > maxLoss) continue;
        // From one infinite loss to another nothing is lost.
        const price = lossOf(trial) === lossOf(current) ? 0 : (lossOf(trial) - lossOf(current)) / saved;
        if (!best || price < best.price || (price === best.price && trial.savedBytes > best.trial.savedBytes)) best = { trial, price };
      }
    }
    if (best) this.choices.set(best.trial.name, best.trial);
    return best !== null;
  }

  /** Gives each module, the most harmful first, the choice of least loss that the bytes allow: the last step may have saved too much. */
  giveBack(maxBytes: number): void {
    for (const [name] of [...this.choices].sort(([, a], [, b]) => (lossOf(a) < lossOf(b) ? 1 : lossOf(a) > lossOf(b) ? -1 : 0))) {
      const others = this.sensitivity.floatBytes - this.sum(savedBy, name);
      for (const choice of [...(this.trials.get(name) ?? []), null]) {
        const better = lossOf(choice) < lossOf(this.choices.get(name) ?? null);
        if (better && others - savedBy(choice) <= maxBytes) this.choices.set(name, choice);
      }
    }
  }

  get map(): QuantizationMap {
    const map = Object.create(null) as QuantizationMap;
    for (const [name, choice] of this.choices) if (choice) map[name] = choice.qtypes;
    return map;
  }
}

/**
 * The qtype of each module that meets a budget, in the form that `quantize(model, { weights: map })` takes, with the other options of the trials. Greedy, from the float model:
 * step by step the module and qtype that lose least for each byte that they save (a gain counts as no loss). With `maxBytes` until the
 * model is small enough, after which modules get back what is not needed; with `maxLoss` as long as the sum of the losses fits.
 * `sensitivity.estimate(map)` tells what the map is expected to give.
 * @throws QuantoError INVALID_ARGUMENT where the budget cannot be met
 */
export function suggest(sensitivity: Sensitivity, budget: Budget): QuantizationMap {
  const { maxBytes, maxLoss } = budget;
  const limit = maxBytes ?? maxLoss;
  if ((maxBytes === undefined) === (maxLoss === undefined) || !((limit ?? NaN) >= 0)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[suggest] expected { maxBytes } or { maxLoss } of at least 0 but got ${JSON.stringify(budget)}`,
    );
  }
  const plan = new Plan(sensitivity);
  if (maxBytes === undefined) {
    while (plan.saveMore(maxLoss));
    return plan.map;
  }
  while (plan.bytes > maxBytes) {
    if (plan.saveMore()) continue;
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[suggest] cannot reach ${maxBytes} bytes: ${plan.smallestBytes} is the least that the trials allow; try smaller qtypes in sensitivity()`,
    );
  }
  plan.giveBack(maxBytes);
  return plan.map;
}
