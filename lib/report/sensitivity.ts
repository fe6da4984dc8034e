import { setImmediate as nextTurn } from 'node:timers/promises';

import type { AnyModule } from '../nn';
import { type QType, toQType } from '../qtensor';
import { calibration, freeze, isQModule, quantizationMap, type QuantizationMap, quantize, type QuantizeOptions } from '../quantize';
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

/** Gives a function a copy of a model, quantized where options are given and in eval mode, and frees it afterwards. */
async function withCopy<R>(model: AnyModule, options: QuantizeOptions | null, use: (copy: AnyModule) => R | Promise<R>): Promise<R> {
  const clone = model.clone();
  // Freezing replaces float weights, which nothing else would free before the garbage collector.
  const float: Tensor[] = clone.parameters();
  let copy: AnyModule = clone;
  try {
    if (options) copy = quantize(clone, options);
    return await use(copy.eval());
  } finally {
    copy.dispose();
    for (const tensor of float) tensor.dispose();
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
      // Waiting keeps one sample in memory at a time.
      for (const output of outputs) await output.data();
      for (const output of outputs) if (isTemporary(output, args)) output.dispose();
      await nextTurn();
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
  if (model.modules().some(isQModule)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      '[sensitivity] expected a float model but got a quantized one; pass a clone made before quantize()',
    );
  }
  const plan = new Map<string, readonly [string, QuantizationMap[string]]>();
  for (const qtype of Array.isArray(weights) ? (weights as readonly (QType | string | null)[]) : [weights as QType | string | null]) {
    // A name is checked before the first trial, which may be long.
    const checked = qtype === null ? null : toQType(qtype);
    const found = Object.entries(await withCopy(model, { ...others, weights: checked, activations }, quantizationMap));
    // A module without a weight is the same for each qtype of weights.
    for (const entry of found) plan.set(JSON.stringify(entry), entry);
  }
  if (plan.size === 0) {
    throw new QuantoError('INVALID_ARGUMENT', '[sensitivity] found no module to quantize; see include, exclude and registerQModule');
  }
  const floatBytes = bytesOf(model);
  const baseline = await withCopy(model, null, (copy) => measure(copy, metric));
  if (!Number.isFinite(baseline)) {
    throw new QuantoError('INVALID_ARGUMENT', `[sensitivity] expected a finite metric of the float model but got ${baseline}`);
  }
  const trials: Trial[] = [];
  for (const [name, qtypes] of plan.values()) {
    const map: QuantizationMap = Object.assign(Object.create(null) as QuantizationMap, { [name]: qtypes });
    const trial = await withCopy(model, { ...others, weights: map }, async (copy) => {
      if (qtypes.activations !== 'none') await calibrate(copy, samples);
      freeze(copy);
      const value = await measure(copy, metric);
      const loss = Number.isNaN(value) ? Infinity : sign * (value - baseline);
      const type = copy.getSubmodule(name).constructor.name;
      return { name, type, qtypes, metric: value, loss, savedBytes: floatBytes - bytesOf(copy) };
    });
    trials.push(trial);
    onProgress?.({ done: trials.length, total: plan.size, trial });
  }
  return new Sensitivity(baseline, goal, floatBytes, trials);
}
