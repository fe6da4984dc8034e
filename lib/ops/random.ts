import { native } from '../native';
import { dtypeCode } from '../tensor/dtype';
import { deviceCode } from '../tensor/device';
import { Tensor } from '../tensor/tensor';

import type { TensorOptions } from './creation';

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
