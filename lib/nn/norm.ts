import { full } from '../ops/creation';
import { add_ } from '../ops/inplace';
import { batchNorm, layerNorm, rmsNorm } from '../ops/norm';
import type { DType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { buffer, type Tensor } from '../tensor/tensor';

import { filledParameter, type LayerOptions, requireLayerDType, requireSizes } from './layer';
import { Module } from './module';
import type { LoadReport, StateDict } from './state-dict';

/**
 * Normalizes the last dimensions, whose sizes `normalizedShape` repeats, to mean 0 and variance 1, then applies weight and bias of that
 * shape, which start at 1 and 0 (Ba et al. 2016).
 */
export class LayerNorm extends Module {
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

  protected override extraRepr(): string {
    return `[${this.normalizedShape.join(', ')}], eps=${this.eps}, elementwiseAffine=${this.weight !== null}`;
  }
}

/** Smallest difference from 1: what PyTorch's RMSNorm adds unless told otherwise. */
const machineEpsilon: Partial<Record<DType, number>> = { float16: 2 ** -10, bfloat16: 2 ** -7 };

/** src / sqrt(mean(src^2) + eps) over the last dimension, of size `normalizedSize`, times weight, which starts at 1 (Zhang and Sennrich 2019). */
export class RMSNorm extends Module {
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
    return rmsNorm(src, this.weight, this.eps ?? machineEpsilon[src.dtype] ?? 2 ** -23);
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
