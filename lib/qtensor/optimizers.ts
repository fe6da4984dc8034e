// What computes the scales of weights: Quanto's optimizers, symmetric ones for 8 bits and affine ones for less.
import * as raw from '../ops/raw';
import { QuantoError } from '../tensor/error';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import type { GroupAxis } from './grouping';
import { quantizeBits } from './qbits';
import type { QType } from './qtype';

/** The scale of a weight of 8 bits. */
export interface ScaleOptimizer {
  scale(weight: Tensor, qtype: QType, axis: GroupAxis | null): Tensor;
}

/** Scales and shifts of groups: floats in the dtype of the values, or for the shift uint8 codes of zero. */
export interface ScaleAndShift {
  readonly scale: Tensor;
  readonly shift: Tensor;
}

/** Scale and shift of a weight of less than 8 bits. */
export interface AffineOptimizer {
  /** @param grouped values in groups; the results have size 1 along every dim but `axis` */
  scaleAndShift(grouped: Tensor, qtype: QType, axis: GroupAxis): ScaleAndShift;
}

export type WeightOptimizer = ScaleOptimizer | AffineOptimizer;

/** @internal */
export function isAffine(optimizer: WeightOptimizer): optimizer is AffineOptimizer {
  return 'scaleAndShift' in optimizer;
}

/** The dims that a scale folds: all but the axis. */
function foldedDims({ ndim }: Tensor, axis: GroupAxis): number[] {
  const along = axis === 0 ? 0 : ndim - 1;
  return Array.from({ length: ndim }, (_, i) => i).filter((i) => i !== along);
}

const mean = (src: Tensor, dims: readonly number[]): Tensor => raw.reduce('mean', src, dims, true);

export interface MaxOptimizerOptions {
  /**
   * Whether shifts are rounded to codes, so that zero is a code of its own. Ranges are widened to include it, where the original
   * saturates groups of one sign. Default false.
   */
  zeroPoint?: boolean;
}

/** scale = (max - min) / (2^bits - 1), shift = -min over the finite values of each group: the default for less than 8 bits. */
export class MaxOptimizer implements AffineOptimizer {
  private readonly zeroPoint: boolean;

  constructor({ zeroPoint = false }: MaxOptimizerOptions = {}) {
    this.zeroPoint = zeroPoint;
  }

  scaleAndShift(grouped: Tensor, qtype: QType, axis: GroupAxis): ScaleAndShift {
    const largest = 2 ** qtype.bits - 1;
    const { scale, shift } = this.range(grouped, qtype, axis, largest);
    if (!this.zeroPoint) return { scale, shift };
    const rounded = raw.unary('round', raw.div(shift, scale));
    return { scale, shift: raw.cast(raw.unary('clamp', rounded, 0, largest), 'uint8') };
  }

  /** Scale and float shift. */
  protected range(grouped: Tensor, _qtype: QType, axis: GroupAxis, largest: number): ScaleAndShift {
    const dims = foldedDims(grouped, axis);
    const zero = raw.zeros([], grouped);
    const finite = raw.where(raw.unary('isfinite', grouped), grouped, zero);
    const [min, max] = (['min', 'max'] as const).map((op) => (dims.length === 0 ? finite : raw.reduce(op, finite, dims, true)));
    const low = this.zeroPoint ? raw.binary('minimum', min, 0) : min;
    const high = this.zeroPoint ? raw.binary('maximum', max, 0) : max;
    return { scale: raw.div(raw.sub(high, low), largest), shift: raw.neg(low) };
  }
}

export interface HqqOptimizerOptions extends MaxOptimizerOptions {
  /** The norm of the error that is made small, above 0 and at most 1. Default 0.7. */
  lpNorm?: number;
  /** Weight of the shrinkage, and its growth with each iteration. Defaults 10 and 1.01. */
  beta?: number;
  kappa?: number;
  /** Iterations at most; they end when the mean error stops falling. Default 20. */
  iterations?: number;
}

/**
 * Half-quadratic quantization: shifts that minimize the Lp norm of the error, from MaxOptimizer's on (Badri and Shaji 2023, as in
 * Quanto's HqqOptimizer). Scales stay. Never worse than MaxOptimizer in the mean absolute error. It reads its progress, so it waits for
 * the device.
 */
export class HqqOptimizer extends MaxOptimizer {
  private readonly options: Required<Omit<HqqOptimizerOptions, 'zeroPoint'>>;

  constructor({ lpNorm = 0.7, beta = 10, kappa = 1.01, iterations = 20, zeroPoint }: HqqOptimizerOptions = {}) {
    super({ zeroPoint });
    if (!(lpNorm > 0 && lpNorm <= 1 && beta > 0 && kappa > 0 && iterations >= 0)) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[HqqOptimizer] expected 0 < lpNorm <= 1, beta > 0, kappa > 0 and iterations >= 0 but got ${lpNorm}, ${beta}, ${kappa} and ${iterations}`,
      );
    }
    this.options = { lpNorm, beta, kappa, iterations };
  }

  protected override range(grouped: Tensor, qtype: QType, axis: GroupAxis, largest: number): ScaleAndShift {
    const { scale, shift } = super.range(grouped, qtype, axis, largest);
    const { kappa, iterations } = this.options;
    const layout = { axis, groupSize: null, shape: grouped.shape };
    const quantized = (at: Tensor) => quantizeBits(grouped, qtype, layout, scale, at);
    const errorOf = (at: Tensor) => tidy(() => raw.sub(grouped, quantized(at).values()));
    const meanOf = (error: Tensor) => tidy(() => raw.cast(mean(raw.unary('abs', error), []), 'float32')).item();

    let best = shift;
    let error = errorOf(best);
    let smallest = meanOf(error);
    let { beta } = this.options;
    for (let i = 0; i < iterations; i++) {
      const current = error;
      const next = tidy(() => {
        const scaled = raw.mul(scale, raw.cast(quantized(best).codes, scale.dtype));
        return mean(raw.sub(scaled, raw.sub(grouped, this.shrink(current, beta))), foldedDims(grouped, axis));
      });
      error = errorOf(next);
      const reached = meanOf(error);
      if (!(reached < smallest)) break;
      smallest = reached;
      best = next;
      beta *= kappa;
    }
    return { scale, shift: best };
  }

  /** The proximal operator of the Lp norm: sign(e) * relu(|e| - |e|^(p - 1) / beta). */
  private shrink(error: Tensor, beta: number): Tensor {
    const { lpNorm } = this.options;
    const size = raw.unary('abs', error);
    const threshold = lpNorm === 1 ? 1 / beta : raw.mul(raw.binary('pow', size, lpNorm - 1), 1 / beta);
    return raw.mul(raw.unary('sign', error), raw.unary('relu', raw.sub(size, threshold)));
  }
}
