import { LayerNorm } from '../nn';
import { layerNorm } from '../ops/norm';
import type { Tensor } from '../tensor/tensor';

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

  compute(input: Tensor): Tensor {
    return layerNorm(input, this.normalizedShape, this.weight, this.bias, this.eps);
  }
}
