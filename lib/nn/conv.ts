import { conv2d, type Conv2dOptions, type Pair } from '../ops/conv';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

import { type LayerOptions, requireLayerDType, requireSizes, uniformParameter } from './layer';
import { Module } from './module';

/**
 * Cross-correlation of images: [N, inChannels, H, W] (or one image without N) -> [N, outChannels, H', W']. Weight
 * [outChannels, inChannels / groups, kh, kw] and bias [outChannels] start uniform in +-1/sqrt(inChannels / groups * kh * kw), as PyTorch's.
 */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly [number, number];
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
  weight: Tensor;
  bias: Tensor | null;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions & LayerOptions & { bias?: boolean } = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true } = options;
    const [height, width] = typeof kernelSize === 'number' ? [kernelSize, kernelSize] : kernelSize;
    requireSizes('Conv2d', { inChannels, outChannels, groups, 'the height of the kernel': height, 'the width of the kernel': width });
    requireLayerDType('Conv2d', options);
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[Conv2d] expected channels that ${groups} groups divide but got ${inChannels} -> ${outChannels}`,
      );
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = [height, width];
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    const shape = [outChannels, inChannels / groups, height, width];
    const bound = 1 / Math.sqrt(shape[1] * height * width);
    this.weight = uniformParameter(shape, bound, options);
    this.bias = bias ? uniformParameter([outChannels], bound, options) : null;
  }

  forward(src: Tensor): Tensor {
    return conv2d(src, this.weight, this.bias, this);
  }

  protected override extraRepr(): string {
    const { stride, padding, dilation, groups } = this;
    const options = { kernelSize: this.kernelSize, stride, padding, dilation, groups, bias: this.bias !== null };
    const texts = Object.entries(options).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return [this.inChannels, this.outChannels, ...texts].join(', ');
  }
}
