// The scales of activations: one number for each side of a quantized module.
import { full } from '../ops/creation';
import * as raw from '../ops/raw';
import type { Tensor } from '../tensor/tensor';

// In files a scale of 1 means "uncalibrated", so a calibrated scale of 1 is saved as the next number of its dtype.
const AFTER_ONE: Readonly<Record<string, number>> = { float32: 1 + 2 ** -23, float16: 1 + 2 ** -10, bfloat16: 1 + 2 ** -7 };

/** A scale in the dtype of the activation: a module without a weight has it in float32. */
export function scaleFor(activation: Tensor, scale: Tensor): Tensor {
  return activation.dtype === scale.dtype ? scale : raw.cast(scale, activation.dtype);
}

/** m * old + (1 - m) * latest; a scale of 0, from a batch of zeros, is no range and is replaced. */
export function movingAverage(old: Tensor, latest: Tensor, momentum: number): Tensor {
  const blended = raw.add(raw.mul(old, momentum), raw.mul(latest, 1 - momentum));
  return raw.where(raw.binary('eq', old, 0), latest, raw.where(raw.binary('eq', latest, 0), old, blended));
}

/** The value of a scale, which is known on the host from here on. */
export function readScale(scale: Tensor): number {
  const known = scale.hostValue;
  if (known !== undefined) return known;
  using float = raw.cast(scale, 'float32');
  const value = (float.dataSync() as Float32Array)[0];
  scale.setHostValue(value);
  return value;
}

/** A scale as files have it: 1 where it is not in use. */
export function savedScale(scale: Tensor, inUse: boolean): Tensor {
  const value = inUse ? readScale(scale) : 1;
  if (inUse && value !== 1) return scale.detach();
  return full([], inUse ? AFTER_ONE[scale.dtype] : 1, { dtype: scale.dtype, device: scale.device });
}
