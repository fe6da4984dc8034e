import { native, type NativeTensor } from '../native';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireShape, requireTensor } from '../tensor/op';
import { tidy } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

const wrap = (handle: NativeTensor) => Tensor.fromNative(handle);

/** Thunks over the results of one call that gives several gradients: it runs when the first of them is wanted. */
function shared(count: number, compute: () => readonly NativeTensor[]): (() => Tensor)[] {
  let results: readonly NativeTensor[] | undefined;
  return Array.from({ length: count }, (_, i) => () => wrap((results ??= compute())[i]));
}

function defineSoftmax(
  name: 'softmax' | 'logSoftmax',
  backward: (dout: NativeTensor, out: NativeTensor, axis: number) => NativeTensor,
): Op<number> {
  return {
    name,
    forward: ([src], axis) => wrap(native[name](src.native, axis)),
    save: (_, output) => [output],
    vjp: (dy, [output], { attributes: axis }) => [() => wrap(backward(dy.native, output.native, axis))],
  };
}
const softmaxOp = defineSoftmax('softmax', native.softmaxBackward);
const logSoftmaxOp = defineSoftmax('logSoftmax', native.logSoftmaxBackward);

/** exp(src) / sum(exp(src)) along an axis, computed without overflow. */
export function softmax(src: Tensor, axis = -1): Tensor {
  return apply(softmaxOp, [src], axis);
}

/** log(softmax(src)), computed without overflow. */
export function logSoftmax(src: Tensor, axis = -1): Tensor {
  return apply(logSoftmaxOp, [src], axis);
}

/** Which of the optional operands follow the source, in this order. */
interface Affine {
  readonly hasWeight: boolean;
  readonly hasBias: boolean;
}

function affineOf(weight: Tensor | null, bias: Tensor | null): Affine & { operands: Tensor[] } {
  return { hasWeight: weight !== null, hasBias: bias !== null, operands: [weight, bias].filter((operand) => operand !== null) };
}

function weightAndBias(operands: readonly Tensor[], { hasWeight, hasBias }: Affine): readonly [Tensor | null, Tensor | null] {
  return [hasWeight ? operands[0] : null, hasBias ? operands[hasWeight ? 1 : 0] : null];
}

/** The thunks of (src, weight, bias) without those of absent operands. */
function present<T>([src, weight, bias]: readonly T[], { hasWeight, hasBias }: Affine): T[] {
  return [src, ...(hasWeight ? [weight] : []), ...(hasBias ? [bias] : [])];
}

const layerNormOp: Op<Affine & { dims: number; eps: number }> = {
  name: 'layerNorm',
  forward: ([src, ...operands], attributes) => {
    const [weight, bias] = weightAndBias(operands, attributes);
    const results = native.layerNorm(src.native, weight?.native ?? null, bias?.native ?? null, attributes.dims, attributes.eps);
    const [output, ...extras] = results.map(wrap);
    return { output, extras };
  },
  save: ([src, ...operands], _, [mean, rstd]) => [src, mean, rstd, ...operands],
  vjp: (dy, [src, mean, rstd, ...operands], { attributes }) => {
    const [weight, bias] = weightAndBias(operands, attributes);
    // A bias alone has its gradient in the weight's place too, so the kernel is given a weight of ones.
    const scale = weight ?? (bias && raw.full(bias.shape, 1, bias));
    const gradients = shared(3, () =>
      native.layerNormBackward(dy.native, src.native, scale?.native ?? null, mean.native, rstd.native, attributes.dims),
    );
    return present(gradients, attributes);
  },
};

/**
 * Normalizes the last dimensions, whose sizes `normalizedShape` repeats, to mean 0 and variance 1, then applies weight and bias of that
 * shape (Ba et al. 2016).
 */
export function layerNorm(
  src: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  const dims = requireNormalized(src, normalizedShape);
  const { operands, ...affine } = affineOf(weight, bias);
  return apply(layerNormOp, [src, ...operands], { ...affine, dims, eps });
}

/** @internal The codes of layerNorm's result under a scale of src's dtype, int8, without recording. */
export function layerNormCodes(
  src: Tensor,
  normalizedShape: readonly number[],
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
  scale: Tensor,
): Tensor {
  const dims = requireNormalized(src, normalizedShape);
  return wrap(native.layerNormInt8(src.native, weight?.native ?? null, bias?.native ?? null, scale.native, dims, eps));
}

/** @internal The same of rmsNorm's. */
export function rmsNormCodes(src: Tensor, weight: Tensor | null, eps: number, scale: Tensor): Tensor {
  return wrap(native.rmsNormInt8(src.native, weight?.native ?? null, scale.native, eps));
}

/** How many last dims are normalized, whose sizes must be these. */
function requireNormalized(src: Tensor, normalizedShape: readonly number[]): number {
  const { shape } = requireTensor('layerNorm', src);
  const dims = normalizedShape.length;
  if (dims === 0 || dims > shape.length || normalizedShape.some((size, i) => size !== shape[shape.length - dims + i])) {
    throw new QuantoError(
      'SHAPE_MISMATCH',
      `[layerNorm] expected an input whose last sizes are [${normalizedShape.join(', ')}] but got shape [${shape.join(', ')}]`,
    );
  }
  return dims;
}

const rmsNormOp: Op<number> = {
  name: 'rmsNorm',
  forward: ([src, weight], eps) => {
    const [output, rstd] = native.rmsNorm(src.native, (weight as Tensor | undefined)?.native ?? null, eps).map(wrap);
    return { output, extras: [rstd] };
  },
  save: ([src, ...weight], _, [rstd]) => [src, rstd, ...weight],
  vjp: (dy, [src, rstd, weight]) =>
    shared(weight ? 2 : 1, () =>
      native.rmsNormBackward(dy.native, src.native, (weight as Tensor | undefined)?.native ?? null, rstd.native),
    ),
};

/** src / sqrt(mean(src^2) + eps) over the last dimension, times weight (Zhang and Sennrich 2019). */
export function rmsNorm(src: Tensor, weight: Tensor | null = null, eps = 1e-6): Tensor {
  return apply(rmsNormOp, weight ? [src, weight] : [src], eps);
}

/** The dimensions that a batch norm folds: all but the channels, which are dimension 1. */
const foldedAxes = (ndim: number) => Array.from({ length: ndim }, (_, i) => i).filter((i) => i !== 1);

/** A value for each channel, as it broadcasts over [N, C, ...]. */
const perChannel = (vector: Tensor, ndim: number) => raw.reshape(raw.cast(vector, 'float32'), [-1, ...Array<number>(ndim - 2).fill(1)]);

interface BatchNormAttributes extends Affine {
  readonly eps: number;
  /** Whether mean and variance are the batch's own, so that gradients pass through them. */
  readonly training: boolean;
}

const batchNormOp: Op<BatchNormAttributes> = {
  name: 'batchNorm',
  forward: ([src, mean, variance, ...operands], { eps, ...affine }) => {
    const [weight, bias] = weightAndBias(operands, affine);
    return wrap(native.batchNorm(src.native, mean.native, variance.native, weight?.native ?? null, bias?.native ?? null, eps));
  },
  save: (inputs, _) => inputs,
  vjp: (dyGiven, [src, mean, variance, ...operands], { attributes }) => {
    const { ndim } = src;
    const axes = foldedAxes(ndim);
    const dy = raw.cast(dyGiven, 'float32');
    const [weight] = weightAndBias(operands, attributes);
    const rstd = raw.unary('rsqrt', raw.add(perChannel(variance, ndim), attributes.eps));
    const normalized = () => raw.mul(raw.sub(raw.cast(src, 'float32'), perChannel(mean, ndim)), rstd);
    const dsrc = () => {
      const scale = weight ? raw.mul(rstd, perChannel(weight, ndim)) : rstd;
      if (!attributes.training) return raw.mul(dy, scale);
      // The batch's mean and variance move with src: Ioffe and Szegedy 2015, section 3.
      const xhat = normalized();
      const viaVariance = raw.mul(xhat, raw.reduce('mean', raw.mul(dy, xhat), axes, true));
      const centered = raw.sub(raw.sub(dy, raw.reduce('mean', dy, axes, true)), viaVariance);
      return raw.mul(centered, scale);
    };
    const dweight = () => raw.reduce('sum', raw.mul(dy, normalized()), axes, false);
    const dbias = () => raw.reduce('sum', dy, axes, false);
    const [source, ...affine] = present([dsrc, dweight, dbias], attributes);
    const none = () => raw.zeros([], dy);
    return [source, none, none, ...affine];
  },
};

export interface BatchNormOptions {
  weight?: Tensor | null;
  bias?: Tensor | null;
  /** Normalizes by the batch's own statistics and updates the running ones in place. Default: false. */
  training?: boolean;
  /** The share of the new statistics in a running one. Default: 0.1. */
  momentum?: number;
  /** Default: 1e-5. */
  eps?: number;
}

/** running = (1 - momentum) * running + momentum * batch, in place; the running variance is the unbiased one, as in PyTorch. */
function updateRunning(running: Tensor, batch: Tensor, momentum: number): void {
  const kept = raw.mul(raw.cast(running, 'float32'), 1 - momentum);
  native.copyInPlace(running.native, raw.add(kept, raw.mul(batch, momentum)).native);
}

/**
 * Normalizes each channel of src [N, C, ...] over all else, then applies weight and bias [C]. The running statistics [C] are read in
 * evaluation and updated in training; null means that there are none, and the batch's are used.
 */
export function batchNorm(
  src: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  { weight = null, bias = null, training = false, momentum = 0.1, eps = 1e-5 }: BatchNormOptions = {},
): Tensor {
  const { shape } = requireTensor('batchNorm', src);
  if (shape.length < 2) {
    throw new QuantoError('SHAPE_MISMATCH', `[batchNorm] expected an input [N, C, ...] but got shape [${shape.join(', ')}]`);
  }
  for (const [name, operand] of Object.entries({ weight, bias, runningMean, runningVar })) {
    if (operand !== null) requireShape('batchNorm', name, operand, [shape[1]]);
  }
  const { operands, ...affine } = affineOf(weight, bias);
  if (!training && runningMean && runningVar) {
    return apply(batchNormOp, [src, runningMean, runningVar, ...operands], { ...affine, eps, training: false });
  }
  const count = shape.reduce((product, size) => product * size, 1) / shape[1];
  if (!(count > 1)) {
    throw new QuantoError(
      'SHAPE_MISMATCH',
      `[batchNorm] expected more than 1 value for each channel in training but got shape [${shape.join(', ')}]`,
    );
  }
  return tidy(() => {
    const plain = raw.cast(src.dequantize(), 'float32');
    const axes = foldedAxes(shape.length);
    const mean = raw.reduce('mean', plain, axes, false);
    const variance = raw.reduce('var', plain, axes, false, 0);
    if (training) {
      if (runningMean) updateRunning(runningMean, mean, momentum);
      if (runningVar) updateRunning(runningVar, raw.mul(variance, count / (count - 1)), momentum);
    }
    return apply(batchNormOp, [src, mean, variance, ...operands], { ...affine, eps, training: true });
  });
}

export const normOps: readonly AnyOp[] = [softmaxOp, logSoftmaxOp, layerNormOp, rmsNormOp, batchNormOp];
