import { native } from '../native';
import { type DType, dtypes, isReal } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';

/** Scales are floats of at least 16 bits: float8 is for codes. */
export function isScaleDType(dtype: DType): boolean {
  return isReal(dtype) && dtypes[dtype].bytes > 1;
}

/**
 * Whether two scales are known to be equal, without reading the device: they share memory, or both values are known on the host.
 * A scale's value is known when it was made from a number, read, or calibrated.
 */
export function sameScale(a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || a.numel !== 1 || b.numel !== 1) return false;
  if (native.storageOf(a.native) === native.storageOf(b.native)) return true;
  return a.hostValue !== undefined && a.hostValue === b.hostValue;
}
