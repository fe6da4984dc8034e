import { full } from '../ops/creation';
import { add_ } from '../ops/inplace';
import { batchNorm, layerNorm, layerNormCodes, rmsNorm, rmsNormCodes } from '../ops/norm';
import type { DType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { buffer, type Tensor } from '../tensor/tensor';

import { commonCodes, type FusedSteps, type Followers, type FusingLayer, type InputCodes, recordsAny } from './fusion';
import { filledParameter, type LayerOptions, requireLayerDType, requireSizes } from './layer';
import { Module } from './module';
import type { LoadReport, StateDict } from './state-dict';

/**
 * Normalizes the last dimensions, whose sizes `normalizedShape` repeats, to mean 0 and variance 1, then applies weight and bias of that
 * shape, which start at 1 and 0 (Ba et al. 2016).
 */
export class LayerNorm extends Module implements FusingLayer {
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  weight: Tensor | null;
  bias: Tensor | null;

  constructor(
    normalizedShape: number | readonly number[],
    options: LayerOptions & { eps?: number; elementwiseAffine?: boolean; bias?: boolean } = {},
  ) {
    super();
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    const shape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    requireSizes('LayerNorm', Object.fromEntries(shape.map((size, i) => [`normalizedShape[${i}]`, size])));
    requireLayerDType('LayerNorm', options);
    this.normalizedShape = shape;
    this.eps = eps;
    this.weight = elementwiseAffine ? filledParameter(shape, 1, options) : null;
    this.bias = elementwiseAffine && bias ? filledParameter(shape, 0, options) : null;
  }

  forward(src: Tensor): Tensor {
    return layerNorm(src, this.normalizedShape, this.weight, this.bias, this.eps);
  }

  /** @internal Whether `forward` is this class's own: no hook, no subclass. */
  get isPlain(): boolean {
    return this.forward === LayerNorm.prototype.forward;
  }

  /** @internal */
  stepsThen(followers: Followers): FusedSteps | null {
    return stepsOfNorm(this, followers);
  }

  /** @internal */
  fusedThen(src: Tensor, followers: Followers): Tensor | null {
    const { normalizedShape, weight, bias, eps } = this;
    return quantizedNorm(this, src, followers, (scale) => layerNormCodes(src, normalizedShape, weight, bias, eps, scale));
  }

  protected override extraRepr(): string {
    return `[${this.normalizedShape.join(', ')}], eps=${this.eps}, elementwiseAffine=${this.weight !== null}`;
  }
}

interface Norm {
  readonly isPlain: boolean;
  readonly weight: Tensor | null;
  readonly bias?: Tensor | null;
}

function stepsOfNorm({ isPlain }: Norm, followers: Followers): FusedSteps | null {
  const codes = isPlain && followers.activation === undefined ? commonCodes(followers) : null;
  return codes && { activation: null, codes };
}

/** A norm and its quantization in one native call; null where nobody wants codes, or somebody may look at the floats. */
function quantizedNorm(norm: Norm, src: Tensor, followers: Followers, run: (scale: Tensor) => Tensor): Tensor | null {
  const codes: InputCodes | null = stepsOfNorm(norm, followers)?.codes ?? null;
  if (!codes || src.isQuantized || src.dtype !== codes.scale.dtype) return null;
  return recordsAny([src, norm.weight, norm.bias ?? null], followers) ? null : codes.wrap(run(codes.scale));
}

/** Smallest difference from 1: what PyTorch's RMSNorm adds unless told otherwise. */
const machineEpsilon: Partial<Record<DType, number>> = { float16: 2 ** -10, bfloat16: 2 ** -7 };

/** src / sqrt(mean(src^2) + eps) over the last dimension, of size `normalizedSize`, times weight, which starts at 1 (Zhang and Sennrich 2019). */
export class RMSNorm extends Module implements FusingLayer {
  readonly normalizedSize: number;
  /** null: the machine epsilon of the input's dtype. */
  readonly eps: number | null;
  weight: Tensor | null;

  constructor(normalizedSize: number, options: LayerOptions & { eps?: number | null; elementwiseAffine?: boolean } = {}) {
    super();
    requireSizes('RMSNorm', { normalizedSize });
    requireLayerDType('RMSNorm', options);
    this.normalizedSize = normalizedSize;
    this.eps = options.eps ?? null;
    this.weight = (options.elementwiseAffine ?? true) ? filledParameter([normalizedSize], 1, options) : null;
  }

  forward(src: Tensor): Tensor {
    return rmsNorm(src, this.weight, this.epsilonOf(src));
  }

  private epsilonOf({ dtype }: Tensor): number {
    return this.eps ?? machineEpsilon[dtype] ?? 2 ** -23;
  }

  /** @internal Whether `forward` is this class's own: no hook, no subclass. */
  get isPlain(): boolean {
    return this.forward === RMSNorm.prototype.forward;
  }

  /** @internal */
  stepsThen(followers: Followers): FusedSteps | null {
    return stepsOfNorm(this, followers);
  }

  /** @internal */
  fusedThen(src: Tensor, followers: Followers): Tensor | null {
    return quantizedNorm(this, src, followers, (scale) => rmsNormCodes(src, this.weight, this.epsilonOf(src), scale));
  }

  protected override extraRepr(): string {
    return `${this.normalizedSize}, eps=${String(this.eps)}, elementwiseAffine=${this.weight !== null}`;
  }
}

/**
 * Normalizes each channel of [N, C, H, W] over all else, then applies weight and bias [C]. Training uses the batch's statistics and
 * updates the running ones; evaluation uses the running ones (Ioffe and Szegedy 2015).
 */
export class BatchNorm2d extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number;
  weight: Tensor | null;
  bias: Tensor | null;
  running_mean: Tensor | null;
  running_var: Tensor | null;
  num_batches_tracked: Tensor | null;

  constructor(
    numFeatures: number,
    options: LayerOptions & { eps?: number; momentum?: number; affine?: boolean; trackRunningStats?: boolean } = {},
  ) {
    super();
    requireSizes('BatchNorm2d', { numFeatures });
    requireLayerDType('BatchNorm2d', options);
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true, dtype, device } = options;
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    this.weight = affine ? filledParameter([numFeatures], 1, options) : null;
    this.bias = affine ? filledParameter([numFeatures], 0, options) : null;
    this.running_mean = trackRunningStats ? buffer(full([numFeatures], 0, { dtype, device })) : null;
    this.running_var = trackRunningStats ? buffer(full([numFeatures], 1, { dtype, device })) : null;
    this.num_batches_tracked = trackRunningStats ? buffer(full([], 0, { dtype: 'int64', device })) : null;
  }

  forward(src: Tensor): Tensor {
    if (src.ndim !== 4) {
      throw new QuantoError('SHAPE_MISMATCH', `[BatchNorm2d] expected an input [N, C, H, W] but got shape [${src.shape.join(', ')}]`);
    }
    const { weight, bias, training, momentum, eps } = this;
    if (training && this.num_batches_tracked) add_(this.num_batches_tracked, 1);
    return batchNorm(src, this.running_mean, this.running_var, { weight, bias, training, momentum, eps });
  }

  /** The count is optional: PyTorch's files have it only since 2018. */
  protected override loadFromStateDict(prefix: string, sd: StateDict, report: LoadReport): void {
    const count = this.num_batches_tracked;
    this.num_batches_tracked = null;
    super.loadFromStateDict(prefix, sd, report);
    this.num_batches_tracked = count;
    if (count) report.load(`${prefix}num_batches_tracked`, count, { optional: true });
  }

  protected override extraRepr(): string {
    const tracked = this.running_mean !== null;
    return `${this.numFeatures}, eps=${this.eps}, momentum=${this.momentum}, affine=${this.weight !== null}, trackRunningStats=${tracked}`;
  }
}
