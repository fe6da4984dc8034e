import { type Followers, LayerNorm } from '../nn';
import type { FusedSteps } from '../nn/fusion';
import { layerNorm, layerNormCodes } from '../ops/norm';
import { QBytesTensor } from '../qtensor';
import { recordsGradient } from '../tensor/grad-mode';
import type { Tensor } from '../tensor/tensor';

import { scaleFor } from './activation-scale';
import { calibrations } from './calibration-scope';
import { QModule, type QuantizationConfig } from './qmodule';

/** A layer norm whose output is quantized; its weights stay in float. */
export class QLayerNorm extends QModule(LayerNorm) {
  /** Without quantized outputs there is nothing to do. */
  static override configure(config: QuantizationConfig): QuantizationConfig | null {
    return config.activations && config.activationScale !== 'dynamic' ? { ...config, weights: null } : null;
  }

  override get operation(): string {
    return 'layerNorm';
  }

  override forward(input: Tensor): Tensor {
    return this.fused(input) ?? super.forward(input);
  }

  override get isPlain(): boolean {
    return this.forward === QLayerNorm.prototype.forward && this.computesOwn;
  }

  /** Nothing of what `forward` does is a subclass's. */
  private get computesOwn(): boolean {
    const { prototype: own } = QLayerNorm;
    return this.compute === own.compute && this.quantizeOutput === own.quantizeOutput;
  }

  /** A quantized output has a scale of its own, whatever its readers want. */
  override stepsThen(followers: Followers): FusedSteps | null {
    return this.sides.output || calibrations.current ? null : super.stepsThen(followers);
  }

  override fusedThen(src: Tensor, followers: Followers): Tensor | null {
    return this.stepsThen(followers) && super.fusedThen(src, followers);
  }

  /** Norm and quantization in one native call; null where it takes the separate ops. */
  private fused(input: Tensor): Tensor | null {
    const { weight, bias, normalizedShape, eps } = this;
    const { output } = this.sides;
    if (!output || !this.computesOwn || calibrations.current || output.dtype !== 'int8' || input.isQuantized) return null;
    if (recordsGradient([input, weight, bias])) return null;
    const scale = scaleFor(input, this.output_scale);
    return new QBytesTensor(output, null, {
      codes: layerNormCodes(input, normalizedShape, weight, bias, eps, scale),
      scale: scale.share(),
    });
  }

  compute(input: Tensor): Tensor {
    return layerNorm(input, this.normalizedShape, this.weight, this.bias, this.eps);
  }
}
