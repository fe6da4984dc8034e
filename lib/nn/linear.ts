import { linear } from '../ops/matmul';
import type { Tensor } from '../tensor/tensor';

import { type LayerOptions, requireLayerDType, requireSizes, uniformParameter } from './layer';
import { Module } from './module';

/**
 * y = x W^T + b: [..., inFeatures] -> [..., outFeatures]. Weight [outFeatures, inFeatures] and bias [outFeatures] start uniform in
 * +-1/sqrt(inFeatures), as PyTorch's do (He et al. 2015 with a = sqrt(5)).
 */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Tensor;
  bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, options: LayerOptions & { bias?: boolean } = {}) {
    super();
    requireSizes('Linear', { inFeatures, outFeatures });
    requireLayerDType('Linear', options);
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = uniformParameter([outFeatures, inFeatures], bound, options);
    this.bias = (options.bias ?? true) ? uniformParameter([outFeatures], bound, options) : null;
  }

  forward(src: Tensor): Tensor {
    return linear(src, this.weight, this.bias);
  }

  protected override extraRepr(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}`;
  }
}
