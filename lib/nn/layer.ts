// What the layers have in common: where their tensors are made, and the checks of their sizes.
import type { DType } from '../tensor/dtype';
import type { Device } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { Parameter, type Tensor } from '../tensor/tensor';
import { full, requireRealDType } from '../ops/creation';
import { uniform } from '../ops/random';

/** Where and in which floating-point dtype a layer makes its parameters. */
export interface LayerOptions {
  /** Default: float32. */
  dtype?: DType;
  /** Default: 'cpu'. */
  device?: Device;
}

/** Takes over a fresh tensor, which nobody else uses. */
export function parameter(values: Tensor): Parameter {
  const made = new Parameter(values);
  values.dispose();
  return made;
}

/** A parameter of one value. */
export function filledParameter(shape: readonly number[], value: number, { dtype, device }: LayerOptions): Parameter {
  return parameter(full(shape, value, { dtype, device }));
}

/** A parameter of uniform numbers in [-bound, bound). */
export function uniformParameter(shape: readonly number[], bound: number, { dtype, device }: LayerOptions): Parameter {
  return parameter(uniform(shape, -bound, bound, { dtype, device }));
}

/** Throws unless every named size is an integer of at least 1. */
export function requireSizes(layer: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isInteger(size) && size >= 1) continue;
    throw new QuantoError('INVALID_ARGUMENT', `[${layer}] expected ${name} to be an integer of at least 1 but got ${String(size)}`);
  }
}

/** Throws unless parameters can have the dtype. */
export function requireLayerDType(layer: string, { dtype = 'float32' }: LayerOptions): void {
  requireRealDType(layer, dtype);
}
