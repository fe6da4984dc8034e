import { native, type NativeTensor } from '../native';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

/** A size for height and width: one number for both, or [height, width]. */
export type Pair = number | readonly [number, number];

const wrap = (handle: NativeTensor) => Tensor.fromNative(handle);

function pairOf(op: string, name: string, value: Pair): readonly [number, number] {
  if (typeof value === 'number') return [value, value];
  if (Array.isArray(value) && value.length === 2) return value;
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected ${name} to be a number or [height, width] but got ${String(value)}`);
}

export interface Conv2dOptions {
  /** Default: 1. */
  stride?: Pair;
  /** Zeros on each side. Default: 0. */
  padding?: Pair;
  /** Distance of the weights' taps. Default: 1. */
  dilation?: Pair;
  /** Each of the groups sees C / groups channels. Default: 1. */
  groups?: number;
}

/** @internal */
export interface ConvAttributes {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

const conv2dOp: Op<ConvAttributes> = {
  name: 'conv2d',
  forward: ([src, weight, bias], { stride, padding, dilation, groups }) => {
    const biasHandle = (bias as Tensor | undefined)?.native ?? null;
    return wrap(native.conv2d(src.native, weight.native, biasHandle, stride, padding, dilation, groups));
  },
  save: ([src, weight]) => [src, weight],
  vjp: (dy, [src, weight], { attributes: { stride, padding, dilation, groups } }) => [
    () => wrap(native.conv2dBackwardInput(dy.native, weight.native, src.shape, stride, padding, dilation, groups)),
    () => wrap(native.conv2dBackwardWeight(dy.native, src.native, weight.shape, stride, padding, dilation, groups)),
    () => raw.reduce('sum', dy, dy.ndim === 4 ? [0, 2, 3] : [1, 2], false),
  ],
};

/**
 * Cross-correlation of images [N, C, H, W] (or one image [C, H, W]) with weight [O, C / groups, kh, kw], plus bias [O]. All of one
 * floating-point dtype.
 */
export function conv2d(src: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor {
  return apply(conv2dOp, bias ? [src, weight, bias] : [src, weight], convAttributes(options));
}

/** @internal The options as native calls take them. */
export function convAttributes({ stride = 1, padding = 0, dilation = 1, groups = 1 }: Conv2dOptions): ConvAttributes {
  return {
    stride: pairOf('conv2d', 'stride', stride),
    padding: pairOf('conv2d', 'padding', padding),
    dilation: pairOf('conv2d', 'dilation', dilation),
    groups,
  };
}

/** @internal A batch norm that is a fixed function of each channel, as BatchNorm2d has it. */
export interface FixedNorm {
  readonly running_mean: Tensor;
  readonly running_var: Tensor;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  readonly eps: number;
}

/** @internal What a native call does to the sums of a convolution, in this order. */
export interface ConvSteps {
  readonly norm?: FixedNorm;
  /** Of the output's shape, float32. */
  readonly addend?: Tensor;
  readonly relu?: boolean;
}

/** @internal The operands of the steps as native calls take them, and the activation's number. */
export function nativeSteps({ norm, addend, relu = false }: ConvSteps) {
  return {
    mean: norm?.running_mean.native ?? null,
    variance: norm?.running_var.native ?? null,
    normWeight: norm?.weight?.native ?? null,
    normBias: norm?.bias?.native ?? null,
    eps: norm?.eps ?? 0,
    addend: addend?.native ?? null,
    activation: relu ? 1 : 0,
  };
}

/** @internal conv2d and its steps in one pass, float32, without recording; sums of floats may come in another order than conv2d's. */
export function conv2dFused(src: Tensor, weight: Tensor, bias: Tensor | null, options: Conv2dOptions, convSteps: ConvSteps): Tensor {
  const { stride, padding, dilation, groups } = convAttributes(options);
  const steps = nativeSteps(convSteps);
  return wrap(
    native.conv2dFused(
      src.native,
      weight.native,
      bias?.native ?? null,
      steps.mean,
      steps.variance,
      steps.normWeight,
      steps.normBias,
      steps.eps,
      steps.addend,
      stride,
      padding,
      dilation,
      groups,
      steps.activation,
    ),
  );
}

interface PoolAttributes {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
}

export interface PoolOptions {
  /** Default: the kernel's size. */
  stride?: Pair;
  /** On each side, at most half the kernel. Default: 0. */
  padding?: Pair;
}

function poolAttributes(op: string, kernelSize: Pair, { stride = kernelSize, padding = 0 }: PoolOptions): PoolAttributes {
  return {
    kernel: pairOf(op, 'kernelSize', kernelSize),
    stride: pairOf(op, 'stride', stride),
    padding: pairOf(op, 'padding', padding),
  };
}

const maxPool2dOp: Op<PoolAttributes & { dilation: readonly [number, number] }> = {
  name: 'maxPool2d',
  forward: ([src], { kernel, stride, padding, dilation }) => {
    const [output, indices] = native.maxPool2d(src.native, kernel, stride, padding, dilation).map(wrap);
    return { output, extras: [indices] };
  },
  save: (_inputs, _output, [indices]) => [indices],
  vjp: (dy, [indices], { inputs: [{ shape }] }) => [() => wrap(native.maxPool2dBackward(dy.native, indices.native, shape))],
};

/** Largest value of each window of [N, C, H, W] or [C, H, W]; padding never wins. */
export function maxPool2d(src: Tensor, kernelSize: Pair, options: PoolOptions & { dilation?: Pair } = {}): Tensor {
  const dilation = pairOf('maxPool2d', 'dilation', options.dilation ?? 1);
  return apply(maxPool2dOp, [src], { ...poolAttributes('maxPool2d', kernelSize, options), dilation });
}

const avgPool2dOp: Op<PoolAttributes & { countIncludePad: boolean }> = {
  name: 'avgPool2d',
  forward: ([src], { kernel, stride, padding, countIncludePad }) =>
    wrap(native.avgPool2d(src.native, kernel, stride, padding, countIncludePad)),
  vjp: (dy, _, { attributes: { kernel, stride, padding, countIncludePad }, inputs: [{ shape }] }) => [
    () => wrap(native.avgPool2dBackward(dy.native, shape, kernel, stride, padding, countIncludePad)),
  ],
};

/** Mean of each window; padding counts in the divisor unless `countIncludePad` is false. */
export function avgPool2d(src: Tensor, kernelSize: Pair, options: PoolOptions & { countIncludePad?: boolean } = {}): Tensor {
  return apply(avgPool2dOp, [src], {
    ...poolAttributes('avgPool2d', kernelSize, options),
    countIncludePad: options.countIncludePad ?? true,
  });
}

const adaptiveAvgPool2dOp: Op<readonly [number, number]> = {
  name: 'adaptiveAvgPool2d',
  forward: ([src], size) => wrap(native.adaptiveAvgPool2d(src.native, size)),
  vjp: (dy, _, { inputs: [{ shape }] }) => [() => wrap(native.adaptiveAvgPool2dBackward(dy.native, shape))],
};

/** Means of windows that divide the image into `outputSize` parts, as PyTorch places them. */
export function adaptiveAvgPool2d(src: Tensor, outputSize: Pair): Tensor {
  return apply(adaptiveAvgPool2dOp, [src], pairOf('adaptiveAvgPool2d', 'outputSize', outputSize));
}

export const convOps: readonly AnyOp[] = [conv2dOp, maxPool2dOp, avgPool2dOp, adaptiveAvgPool2dOp];
