import { div } from '../ops/binary';
import { full } from '../ops/creation';
import { linear } from '../ops/matmul';
import { buffer, type Tensor } from '../tensor/tensor';

import { type FusedSteps, type Followers, type FusingLayer, type InputCodes } from './fusion';
import { type LayerOptions, requireLayerDType, requireSizes, uniformParameter } from './layer';
import { Module } from './module';
import type { LoadReport, StateDict } from './state-dict';

/**
 * y = x W^T + b: [..., inFeatures] -> [..., outFeatures]. Weight [outFeatures, inFeatures] and bias [outFeatures] start uniform in
 * +-1/sqrt(inFeatures), as PyTorch's do (He et al. 2015 with a = sqrt(5)).
 */
export class Linear extends Module implements FusingLayer {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Tensor;
  bias: Tensor | null;
  /** What the input is divided by, [inFeatures], where `smooth` could not fold it into the layer before. */
  smoothing: Tensor | null = null;

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
    return linear(this.smoothing ? div(src, this.smoothing) : src, this.weight, this.bias);
  }

  /** @internal Whether `forward` is this class's own: no hook, no subclass. */
  get isPlain(): boolean {
    return this.forward === Linear.prototype.forward;
  }

  /** @internal */
  get inputCodes(): InputCodes | null {
    return null;
  }

  /** @internal */
  stepsThen(_followers: Followers): FusedSteps | null {
    return null;
  }

  /** @internal */
  fusedThen(_src: Tensor, _followers: Followers): Tensor | null {
    return null;
  }

  protected override loadFromStateDict(prefix: string, sd: StateDict, report: LoadReport): void {
    const key = `${prefix}smoothing`;
    if (!this.smoothing && report.has(key)) {
      const smoothing = buffer(full([this.inFeatures], 1, { dtype: sd[key].dtype, device: this.bias?.device }));
      report.load(key, smoothing);
      report.whenComplete(() => (this.smoothing = smoothing));
    }
    super.loadFromStateDict(prefix, sd, report);
  }

  protected override extraRepr(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}`;
  }
}
