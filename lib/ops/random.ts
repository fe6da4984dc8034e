import { native } from '../native';
import { dtypeCode } from '../tensor/dtype';
import { deviceCode } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireTensor } from '../tensor/op';
import { tidy } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import type { TensorOptions } from './creation';
import * as raw from './raw';

function make(
  draw: (dtype: number, device: number) => ReturnType<typeof native.uniform>,
  options: TensorOptions,
  dtype = options.dtype,
): Tensor {
  const made = Tensor.fromNative(draw(dtypeCode(dtype ?? 'float32'), deviceCode(options.device ?? 'cpu')));
  if (options.requiresGrad === true) made.requiresGrad = true;
  return made;
}

/** Seeds the generator of this JS environment (the main thread or a worker): the same seed and calls give the same numbers everywhere. */
export function manualSeed(seed: number): void {
  native.manualSeed(seed);
}

/** Uniform numbers in [0, 1). */
export function rand(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return uniform(shape, 0, 1, options);
}

/** Uniform numbers in [low, high). */
export function uniform(shape: readonly number[], low: number, high: number, options: TensorOptions = {}): Tensor {
  return make((dtype, device) => native.uniform(shape, low, high, dtype, device), options);
}

/** Numbers of the standard normal distribution. */
export function randn(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return make((dtype, device) => native.normal(shape, 0, 1, dtype, device), options);
}

/** Uniform integers from low to below high; int64 by default. */
export function randint(low: number, high: number, shape: readonly number[], options: TensorOptions = {}): Tensor {
  return make((dtype, device) => native.randint(low, high, shape, dtype, device), options, options.dtype ?? 'int64');
}

/** src times a mask of zeros and 1 / (1 - p). */
const dropoutOp: Op = {
  name: 'dropout',
  forward: ([src, mask]) => raw.mul(src, mask),
  save: ([, mask]) => [mask],
  vjp: (dy, [mask]) => [() => raw.mul(dy, mask)],
};

export interface DropoutOptions {
  /** The chance of an element to become 0. Default: 0.5. */
  p?: number;
  /** Without it the source is the result. Default: true. */
  training?: boolean;
}

/** Each element is 0 with probability p, and otherwise divided by 1 - p (Srivastava et al. 2014). */
export function dropout(src: Tensor, { p = 0.5, training = true }: DropoutOptions = {}): Tensor {
  if (!(p >= 0 && p <= 1)) throw new QuantoError('INVALID_ARGUMENT', `[dropout] expected p from 0 to 1 but got ${p}`);
  const { shape, dtype, device } = requireTensor('dropout', src);
  if (!training || p === 0) return src;
  return tidy(() => {
    const kept = raw.cast(raw.binary('ge', uniform(shape, 0, 1, { device }), p), dtype);
    return apply(dropoutOp, [src, raw.mul(kept, p === 1 ? 0 : 1 / (1 - p))], undefined);
  });
}

export const randomOps: readonly AnyOp[] = [dropoutOp];
