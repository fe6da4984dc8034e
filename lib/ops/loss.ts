import { isReal } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireShape, requireTensor } from '../tensor/op';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { add, div, minimum, mul, ne, sub, where } from './binary';
import { to } from './convert';
import { gather } from './indexing';
import { logSoftmax } from './norm';
import * as raw from './raw';
import { mean, sum } from './reduce';
import { squeeze, unsqueeze } from './shape';
import { abs, neg, square } from './unary';

/** How the losses of a batch become the result. */
export type Reduction = 'none' | 'mean' | 'sum';

interface LossOptions {
  /** Default: 'mean'. */
  reduction?: Reduction;
}

const reductions: Readonly<Record<Reduction, (losses: Tensor) => Tensor>> = { none: (losses) => losses, mean, sum };

function reduce(op: string, losses: Tensor, reduction: Reduction): Tensor {
  if (Object.hasOwn(reductions, reduction)) return reductions[reduction](losses);
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected reduction 'none', 'mean' or 'sum' but got ${reduction as string}`);
}

const requireSameShape = (op: string, src: Tensor, target: Tensor) => requireShape(op, 'a target', target, requireTensor(op, src).shape);

export interface NllOptions extends LossOptions {
  /** Targets of this value have no loss and do not count in the mean. Default: -100. */
  ignoreIndex?: number;
}

/** The dimension of the classes: 1 in [N, C, ...], 0 in a single sample [C]. */
const classAxis = (src: Tensor) => (src.ndim === 1 ? 0 : 1);

/** Classes as int64, one for each sample. */
function classesFor(op: string, src: Tensor, target: Tensor): Tensor {
  const axis = classAxis(src);
  const samples = src.shape.filter((_, i) => i !== axis);
  requireShape(op, 'a target', target, samples);
  return raw.asIndex(target);
}

/** `losses` at counted targets, reduced over these alone. */
function reduceCounted(op: string, losses: Tensor, counted: Tensor, reduction: Reduction): Tensor {
  const kept = where(counted, losses, 0);
  if (reduction !== 'mean') return reduce(op, kept, reduction);
  return div(sum(kept), to(sum(counted), kept.dtype));
}

/**
 * Negative log likelihood: -src[n, target[n]] of log probabilities [N, C, ...] for classes (integers [N, ...]). A target outside the classes
 * fails with INDEX_OUT_OF_RANGE where the result is read.
 */
export function nllLoss(src: Tensor, target: Tensor, { ignoreIndex = -100, reduction = 'mean' }: NllOptions = {}): Tensor {
  requireTensor('nllLoss', src);
  return tidy(() => {
    const classes = classesFor('nllLoss', src, target);
    const counted = ne(classes, ignoreIndex);
    return reduceCounted('nllLoss', lossesAt(src, classes, counted), counted, reduction);
  });
}

/** -src at each class that counts. */
function lossesAt(src: Tensor, classes: Tensor, counted: Tensor): Tensor {
  const axis = classAxis(src);
  return neg(squeeze(gather(src, axis, unsqueeze(where(counted, classes, 0), axis)), axis));
}

export interface CrossEntropyOptions extends NllOptions {
  /** The share of the target that is spread evenly over all classes. Default: 0. */
  labelSmoothing?: number;
}

/**
 * Cross entropy of logits [N, C, ...] with classes (integers [N, ...]) or with class probabilities (floats in the logits' shape). The mean
 * is over the counted targets.
 */
export function crossEntropy(src: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options;
  requireTensor('crossEntropy', src);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new QuantoError('INVALID_ARGUMENT', `[crossEntropy] expected labelSmoothing from 0 to 1 but got ${labelSmoothing}`);
  }
  return tidy(() => {
    const axis = classAxis(src);
    const logProbabilities = logSoftmax(src, axis);
    if (isReal(requireTensor('crossEntropy', target).dtype)) {
      requireSameShape('crossEntropy', src, target);
      const smooth = add(mul(target, 1 - labelSmoothing), labelSmoothing / src.shape[axis]);
      return reduce('crossEntropy', neg(sum(mul(logProbabilities, smooth), axis)), reduction);
    }
    const classes = classesFor('crossEntropy', src, target);
    const counted = ne(classes, ignoreIndex);
    const likelihood = reduceCounted('crossEntropy', lossesAt(logProbabilities, classes, counted), counted, reduction);
    if (labelSmoothing === 0) return likelihood;
    const spread = reduceCounted('crossEntropy', neg(mean(logProbabilities, axis)), counted, reduction);
    return add(mul(likelihood, 1 - labelSmoothing), mul(spread, labelSmoothing));
  });
}

/** (src - target)^2. */
export function mseLoss(src: Tensor, target: Tensor, { reduction = 'mean' }: LossOptions = {}): Tensor {
  requireSameShape('mseLoss', src, target);
  return tidy(() => reduce('mseLoss', square(sub(src, target)), reduction));
}

/** |src - target|. */
export function l1Loss(src: Tensor, target: Tensor, { reduction = 'mean' }: LossOptions = {}): Tensor {
  requireSameShape('l1Loss', src, target);
  return tidy(() => reduce('l1Loss', abs(sub(src, target)), reduction));
}

/** d^2 / 2 where d = |src - target| is below delta, delta * (d - delta / 2) elsewhere (Huber 1964). */
export function huberLoss(src: Tensor, target: Tensor, { reduction = 'mean', delta = 1 }: LossOptions & { delta?: number } = {}): Tensor {
  requireSameShape('huberLoss', src, target);
  if (!(delta > 0)) throw new QuantoError('INVALID_ARGUMENT', `[huberLoss] expected delta > 0 but got ${delta}`);
  return tidy(() => {
    // Where the distance is infinite, nothing is multiplied by it.
    const distance = abs(sub(src, target));
    const near = minimum(distance, delta);
    return reduce('huberLoss', mul(near, sub(distance, mul(near, 0.5))), reduction);
  });
}

/** huberLoss / beta; beta 0 is l1Loss. */
export function smoothL1Loss(src: Tensor, target: Tensor, { reduction = 'mean', beta = 1 }: LossOptions & { beta?: number } = {}): Tensor {
  if (beta === 0) return l1Loss(src, target, { reduction });
  return div(huberLoss(src, target, { reduction, delta: beta }), beta);
}

/** log(1 + x), of small x too: the logarithm of the rounded sum, times the part of x that the sum kept (Kahan's, in Goldberg 1991). */
function logOnePlus(x: Tensor): Tensor {
  const sum = raw.add(x, 1);
  const kept = raw.sub(sum, 1);
  return raw.where(raw.binary('eq', kept, 0), x, raw.div(raw.mul(raw.unary('log', sum), x), kept));
}

const binaryCrossEntropyOp: Op = {
  name: 'binaryCrossEntropyWithLogits',
  // max(x, 0) - x * y + log(1 + exp(-|x|)) never overflows.
  forward: ([src, target]) =>
    tidy(() => {
      return raw.add(raw.sub(raw.unary('relu', src), raw.mul(src, target)), logOnePlus(raw.unary('exp', raw.neg(raw.unary('abs', src)))));
    }),
  save: (inputs) => inputs,
  vjp: (dy, [src, target]) => [() => raw.mul(dy, raw.sub(raw.unary('sigmoid', src), target)), () => raw.neg(raw.mul(dy, src))],
};

/** -(target * log(p) + (1 - target) * log(1 - p)) with p = sigmoid(src), from the logits, without overflow. */
export function binaryCrossEntropyWithLogits(src: Tensor, target: Tensor, { reduction = 'mean' }: LossOptions = {}): Tensor {
  requireSameShape('binaryCrossEntropyWithLogits', src, target);
  return tidy(() => reduce('binaryCrossEntropyWithLogits', apply(binaryCrossEntropyOp, [src, target], undefined), reduction));
}

export const lossOps: readonly AnyOp[] = [binaryCrossEntropyOp];
