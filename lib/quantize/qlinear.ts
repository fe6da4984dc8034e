import { type Followers, Linear } from '../nn';
import { activationNumbers, commonCodes, type FusedSteps, type InputCodes, recordsAny } from '../nn/fusion';
import { linear } from '../ops/matmul';
import { fusedLinear, QBytesTensor, QTensor, type QType, sameScale } from '../qtensor';
import { recordsGradient } from '../tensor/grad-mode';
import type { Tensor } from '../tensor/tensor';

import { scaleFor } from './activation-scale';
import { calibrations } from './calibration-scope';
import { QModule, type QuantizedModule } from './qmodule';
import { cachedWeight, dropCachedWeight } from './weight-cache';

const plainSteps: FusedSteps = { activation: null, codes: null };
const isInt8 = (qtype: QType | null): boolean => qtype?.dtype === 'int8' && qtype.bits === 8;

/** A linear layer on quantized weights and, when activations are quantized, integer inputs. */
export class QLinear extends QModule(Linear) {
  override get operation(): string {
    return 'linear';
  }

  override get quantizesInput(): boolean {
    return true;
  }

  override forward(input: Tensor): Tensor {
    return this.fused(input, {}, plainSteps) ?? super.forward(input);
  }

  override get isPlain(): boolean {
    const { prototype: own } = QLinear;
    if (this.forward !== own.forward || this.compute !== own.compute) return false;
    return this.quantizeInput === own.quantizeInput && this.quantizeOutput === own.quantizeOutput;
  }

  override get inputCodes(): InputCodes | null {
    const { activations } = this.quantization;
    // A calibration looks at floats.
    if (!this.isPlain || this.smoothing || calibrations.current || activations?.dtype !== 'int8' || this.sides.input === null) return null;
    if (this.quantization.activationScale === 'dynamic') return null;
    const { input_scale: scale } = this;
    const wrap = (codes: Tensor) => new QBytesTensor(activations, null, { codes, scale: scale.share() });
    return { scale, wrap, equals: (other) => sameScale(scale, other.scale) };
  }

  override stepsThen(followers: Followers): FusedSteps | null {
    const { activations } = this.quantization;
    const { input, output } = this.sides;
    if (!this.isPlain || calibrations.current || activations?.dtype !== 'int8' || input === null) return null;
    if (!isInt8(this.quantization.weights)) return null;
    const { activation = null } = followers;
    // On codes of a quantized output only relu is what it is before the quantization.
    if (output) return activation === 'relu' ? { activation, codes: null } : null;
    const codes = commonCodes(followers);
    const fits = codes !== null && codes.scale.dtype === this.weight.dtype;
    return activation || fits ? { activation, codes: fits ? codes : null } : null;
  }

  override fusedThen(src: Tensor, followers: Followers): Tensor | null {
    const steps = this.stepsThen(followers);
    return steps && this.fused(src, followers, steps);
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
    if (this.factorsPending) return this.qweight;
    return cachedWeight(weight, quantization, () => this.qweight as QTensor);
  }

  /** Quantization, product, what follows and quantization of the result in one native call; null where it takes the separate ops. */
  private fused(input: Tensor, followers: Followers, steps: FusedSteps): Tensor | null {
    const { calibrated, outputQuantized, quantization } = this;
    const { activations } = quantization;
    const dynamic = quantization.activationScale === 'dynamic';
    // A subclass may compute something else, and a calibration looks at what lies between.
    if (this.compute !== QLinear.prototype.compute || calibrations.current || activations?.dtype !== 'int8') return null;
    if (!dynamic && !calibrated.input) return null;
    if (recordsAny([input, this.weight, this.bias], followers)) return null;
    if (input instanceof QTensor && input.qtype !== activations) return null;
    const weight = this.usedWeight();
    const src = this.smoothInput(input);
    const activation = steps.activation ? activationNumbers[steps.activation] : 0;
    if (dynamic) {
      return fusedLinear(src, weight, this.bias, { inputScale: src.isQuantized ? null : 'token', outputScale: null, activation });
    }
    const inputScale = src.isQuantized ? null : scaleFor(src, this.input_scale);
    const outputScale = calibrated.output && outputQuantized ? scaleFor(weight, this.output_scale) : (steps.codes?.scale ?? null);
    return fusedLinear(src, weight, this.bias, { inputScale, outputScale, activation });
  }
}
