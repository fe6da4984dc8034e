import type { AnyModule } from '../nn';
import { type QType, toQType } from '../qtensor';
import { calibration, freeze, quantizationMap, type QuantizationMap, quantize, type QuantizeOptions } from '../quantize';
import { calibrations } from '../quantize/calibration-scope';
import { dtypes } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { callForward, outputTensors } from './inference';
import { everyPass, type RepeatableSamples } from './samples';
import { type Goal, Sensitivity, type Trial } from './sensitivity-result';

/** How far a sensitivity analysis is. */
export interface SensitivityProgress {
  readonly done: number;
  readonly total: number;
  /** The trial that has just ended. */
  readonly trial: Trial;
}

/** `include`, `exclude` and what else `quantize` takes hold for each trial. */
export interface SensitivityOptions extends Omit<QuantizeOptions, 'weights' | 'activations' | 'inPlace'> {
  /** The qtypes to try for weights, one after another; null leaves them in float. Default 'qint8'. */
  weights?: QType | string | null | readonly (QType | string | null)[];
  /** The qtype of activations, calibrated on the samples. Left out: they stay in float. */
  activations?: QType | string | null;
  /** Whether a small metric is good (an error, a perplexity) or a large one (an accuracy). Default 'minimize'. */
  goal?: Goal;
  /** Called after each trial. */
  onProgress?: (progress: SensitivityProgress) => void;
}

/** Bytes of parameters and buffers; a shared tensor counts once. */
function bytesOf(model: AnyModule): number {
  const parts = [...model.parameters(), ...model.buffers()].flatMap((tensor) => tensor.parts());
  return parts.reduce((sum, { numel, dtype }) => sum + numel * dtypes[dtype].bytes, 0);
}

/** Gives a function a copy of a model, in eval mode, and frees it afterwards. */
async function withClone<R>(model: AnyModule, use: (clone: AnyModule) => R | Promise<R>): Promise<R> {
  const clone = model.clone().eval();
  const owned: Tensor[] = [...clone.parameters(), ...clone.buffers()];
  try {
    return await use(clone);
  } finally {
    for (const tensor of owned) tensor.dispose();
  }
}

/** Whether nobody but this file has an output of a model. */
function isTemporary(output: Tensor, args: readonly unknown[]): boolean {
  return !args.includes(output) && !output.parts().some((part) => part.kept);
}

async function calibrate(model: AnyModule, samples: RepeatableSamples): Promise<void> {
  await calibration(async () => {
    for await (const args of everyPass('sensitivity', samples)) {
      const outputs = noGrad(() => tidy(() => outputTensors('sensitivity', callForward(model, args))));
      // Waiting keeps one sample in memory at a time and the event loop free.
      for (const output of outputs) await output.data();
      for (const output of outputs) if (isTemporary(output, args)) output.dispose();
    }
  });
}

type Metric<M extends AnyModule> = (model: M) => number | Promise<number>;

async function measure<M extends AnyModule>(model: AnyModule, metric: Metric<M>): Promise<number> {
  const value = await calibrations.run(undefined, () => noGrad(async () => metric(model as M)));
  if (typeof value === 'number') return value;
  throw new QuantoError(
    'INVALID_ARGUMENT',
    `[sensitivity] expected the metric to give a number but got ${String(value)}; await item() or data()`,
  );
}

/** Which modules of a model quantize, and to what, with options for all of them. */
function candidates(model: AnyModule, options: QuantizeOptions): Promise<QuantizationMap> {
  return withClone(model, (clone) => quantizationMap(quantize(clone, options)));
}

/**
 * Tries each module alone: a copy of the float model in which that one module is quantized, calibrated where activations are asked for, and
 * frozen, is given to the metric. That shows which modules a model is sensitive to; `suggest` makes a map of qtypes from it.
 *
 * The copies are in eval mode and are freed when the metric has ended; one lives at a time. The model itself is left as it is. The metric
 * runs without recording gradients and unseen by any calibration.
 * @param metric what tells how good a model is; see `goal`
 * @param samples inputs to calibrate with; not read where activations stay in float. They are gone through once for each trial.
 * @throws QuantoError INVALID_ARGUMENT where there is nothing to quantize, no sample, or no number from the metric
 */
export async function sensitivity<M extends AnyModule>(
  model: M,
  metric: Metric<M>,
  samples: RepeatableSamples = [],
  options: SensitivityOptions = {},
): Promise<Sensitivity> {
  const { weights = 'qint8', activations = null, goal = 'minimize', onProgress, ...others } = options;
  const sign = goal === 'maximize' ? -1 : 1;
  const plan: [string, QuantizationMap[string]][] = [];
  for (const qtype of Array.isArray(weights) ? (weights as readonly (QType | string | null)[]) : [weights as QType | string | null]) {
    // A name is checked before the first trial, which may be long.
    const checked = qtype === null ? null : toQType(qtype);
    const found = Object.entries(await candidates(model, { ...others, weights: checked, activations }));
    // A module without a weight is the same for each qtype of weights.
    plan.push(...found.filter(([name, entry]) => !plan.some(([known, other]) => known === name && other.weights === entry.weights)));
  }
  if (plan.length === 0) {
    throw new QuantoError('INVALID_ARGUMENT', '[sensitivity] found no module to quantize; see include, exclude and registerQModule');
  }
  const floatBytes = bytesOf(model);
  const baseline = await withClone(model, (clone) => measure(clone, metric));
  if (!Number.isFinite(baseline)) {
    throw new QuantoError('INVALID_ARGUMENT', `[sensitivity] expected a finite metric of the float model but got ${baseline}`);
  }
  const trials: Trial[] = [];
  for (const [name, entry] of plan) {
    const trial = await withClone(model, async (clone) => {
      const map: QuantizationMap = Object.assign(Object.create(null) as QuantizationMap, { [name]: entry });
      const root = quantize(clone, { ...others, weights: map }).eval();
      const quantized = root.getSubmodule(name);
      try {
        if (entry.activations !== 'none') await calibrate(root, samples);
        freeze(root);
        const savedBytes = floatBytes - bytesOf(root);
        const value = await measure(root, metric);
        const loss = Number.isNaN(value) ? Infinity : sign * (value - baseline);
        return { name, type: quantized.constructor.name, ...entry, metric: value, loss, savedBytes };
      } finally {
        quantized.dispose();
      }
    });
    trials.push(trial);
    onProgress?.({ done: trials.length, total: plan.length, trial });
  }
  return new Sensitivity(baseline, goal, floatBytes, trials);
}
