import { add } from '../ops/binary';
import { conv2d, conv2dFused, type Conv2dOptions, type ConvSteps, type FixedNorm, type Pair } from '../ops/conv';
import { relu } from '../ops/unary';
import { QuantoError } from '../tensor/error';
import { recordsGradient } from '../tensor/grad-mode';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { type LayerOptions, requireLayerDType, requireSizes, uniformParameter } from './layer';
import { Module } from './module';
import { BatchNorm2d } from './norm';

/** What follows a convolution, in this order. */
export interface ConvFollowers {
  norm: BatchNorm2d;
  /** Added to the normalized output. */
  addend?: Tensor;
  relu?: boolean;
  /** The convolution that alone reads the result: it may come in the codes that this one wants. */
  reader?: Conv2d;
}

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

  /**
   * relu(norm(forward(src)) + addend), of which each part but the norm may be left out. Where nobody can see what lies between (no gradient
   * is recorded, the norm uses its running statistics, and neither module has hooks or a forward of a subclass) it is one native call; else
   * the modules and ops run one by one. Integers give the same bits either way; sums of floats may be taken in another order.
   */
  forwardThen(src: Tensor, followers: ConvFollowers): Tensor {
    const { norm, addend, relu: rectifies = false, reader } = followers;
    return tidy(() => {
      const fixed = this.isPlain && fixedNorm(this, src, followers);
      const fused = fixed && this.computeFused(src, { norm: fixed, addend, relu: rectifies }, reader?.isPlain ? reader : null);
      if (fused) return fused;
      const normalized = norm.forward(this.forward(src));
      const summed = addend ? add(normalized, addend) : normalized;
      return rectifies ? relu(summed) : summed;
    });
  }

  /** @internal Whether `forward` is this class's own: no hook, no subclass. */
  get isPlain(): boolean {
    return this.forward === Conv2d.prototype.forward;
  }

  /** @internal The convolution and its steps in one call; null where it cannot be. */
  computeFused(src: Tensor, steps: ConvSteps, _reader: Conv2d | null): Tensor | null {
    const { weight, bias } = this;
    if (src.isQuantized || src.dtype !== 'float32' || weight.dtype !== 'float32') return null;
    return conv2dFused(src, weight, bias, this, steps);
  }

  protected override extraRepr(): string {
    const { stride, padding, dilation, groups } = this;
    const options = { kernelSize: this.kernelSize, stride, padding, dilation, groups, bias: this.bias !== null };
    const texts = Object.entries(options).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return [this.inChannels, this.outChannels, ...texts].join(', ');
  }
}

/** The norm, if it is a fixed function of each channel that needs no gradient, and all else float32 of one shape; else null. */
function fixedNorm(conv: Conv2d, src: Tensor, { norm, addend }: ConvFollowers): FixedNorm | null {
  const { running_mean, running_var, weight, bias, eps } = norm;
  if (norm.training || norm.forward !== BatchNorm2d.prototype.forward || !running_mean || !running_var) return null;
  if (src.ndim !== 4 || norm.numFeatures !== conv.outChannels) return null;
  if (addend && (addend.isQuantized || addend.dtype !== 'float32')) return null;
  if (recordsGradient([src, conv.weight, conv.bias, weight, bias, addend])) return null;
  return { running_mean, running_var, weight, bias, eps };
}
