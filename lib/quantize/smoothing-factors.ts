// SmoothQuant's factors (Xiao et al. 2023).
import * as raw from '../ops/raw';
import type { Tensor } from '../tensor/tensor';

/** The largest magnitude of each channel, the last dim of an input or of a weight [out, in]: [channels]. */
export function channelMaxima(src: Tensor): Tensor {
  const others = Array.from({ length: src.ndim - 1 }, (_, i) => i);
  return others.length === 0 ? raw.unary('abs', src) : raw.reduce('absmax', src, others, false);
}

/**
 * max|x|^alpha / max|w|^(1 - alpha) for each channel: what an input is divided by and a weight multiplied by. 1 where either has nothing
 * but zeros.
 */
export function smoothingFactors(ofInput: Tensor, ofWeight: Tensor, alpha: number): Tensor {
  const factors = raw.div(raw.binary('pow', ofInput, alpha), raw.binary('pow', ofWeight, 1 - alpha));
  const one = raw.full([], 1, factors);
  const usable = raw.binary('logicalAnd', raw.binary('gt', factors, 0), raw.unary('isfinite', factors));
  return raw.where(usable, factors, one);
}
