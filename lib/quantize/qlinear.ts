import { Linear } from '../nn';
import { linear } from '../ops/matmul';
import { fusedLinear, QTensor } from '../qtensor';
import { recordsGradient } from '../tensor/grad-mode';
import type { Tensor } from '../tensor/tensor';

import { scaleFor } from './activation-scale';
import { calibrations } from './calibration-scope';
import { QModule, type QuantizedModule } from './qmodule';
import { cachedWeight, dropCachedWeight } from './weight-cache';

/** A linear layer on quantized weights and, when activations are quantized, integer inputs. */
export class QLinear extends QModule(Linear) {
  override get operation(): string {
    return 'linear';
  }

  override get quantizesInput(): boolean {
    return true;
  }

  override forward(input: Tensor): Tensor {
    return this.fused(input) ?? super.forward(input);
  }

  compute(input: Tensor): Tensor {
    return linear(input, this.usedWeight(), this.bias);
  }

  override freeze(frozen?: Map<Tensor, QuantizedModule>): void {
    if (!(this.weight instanceof QTensor) && !this.weight.isDisposed) dropCachedWeight(this.weight);
    super.freeze(frozen);
  }

  /** The weight for a product: without a gradient to pass through, a float one is quantized once until it is written to. */
  private usedWeight(): Tensor {
    const { weight, quantization } = this;
    if (!quantization.weights || weight instanceof QTensor || recordsGradient([weight])) return this.qweight;
    // Factors that follow a calibration change the weight without a write to it.
    if (quantization.smoothing !== undefined) return this.qweight;
    return cachedWeight(weight, quantization, () => this.qweight as QTensor);
  }

  /** Quantization, product and quantization of the result in one native call; null where it takes the separate ops. */
  private fused(input: Tensor): Tensor | null {
    const { calibrated, outputQuantized, quantization } = this;
    const { activations } = quantization;
    const dynamic = quantization.activationScale === 'dynamic';
    // A subclass may compute something else, and a calibration looks at what lies between.
    if (this.compute !== QLinear.prototype.compute || calibrations.current || activations?.dtype !== 'int8') return null;
    if (!dynamic && !calibrated.input) return null;
    if (recordsGradient([input, this.weight, this.bias])) return null;
    if (input instanceof QTensor && input.qtype !== activations) return null;
    const weight = this.usedWeight();
    const src = this.smoothInput(input);
    if (dynamic) return fusedLinear(src, weight, this.bias, { inputScale: src.isQuantized ? null : 'token', outputScale: null });
    const inputScale = src.isQuantized ? null : scaleFor(src, this.input_scale);
    const outputScale = calibrated.output && outputQuantized ? scaleFor(weight, this.output_scale) : null;
    return fusedLinear(src, weight, this.bias, { inputScale, outputScale });
  }
}
