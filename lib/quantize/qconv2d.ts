import { Conv2d } from '../nn';
import { conv2d, convAttributes, conv2dFused, type ConvSteps } from '../ops/conv';
import { convolveIntegers, convolveWeightOnly, isInt8Weight, QBytesTensor, QTensor, type QType } from '../qtensor';
import type { Tensor } from '../tensor/tensor';

import { calibrations } from './calibration-scope';
import { QModule } from './qmodule';

/** The codes that a convolution wants its input in. */
interface InputCodes {
  readonly qtype: QType;
  readonly scale: Tensor;
}

/**
 * A convolution with quantized weights. Its input is quantized too where `integerConvs` is on (see `quantize`), and it computes in integers
 * then; else in float, as the original does, unless its input comes quantized.
 */
export class QConv2d extends QModule(Conv2d) {
  override get operation(): string {
    return 'conv2d';
  }

  override get quantizesInput(): boolean {
    return this.quantization.integerConvs ?? false;
  }

  compute(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this;
    return conv2d(input, this.qweight, this.bias, { stride, padding, dilation, groups });
  }

  override get isPlain(): boolean {
    const { prototype: own } = QConv2d;
    if (this.forward !== own.forward || this.compute !== own.compute) return false;
    return this.quantizeInput === own.quantizeInput && this.quantizeOutput === own.quantizeOutput;
  }

  /** What the input is quantized to, if it is: int8 only, which integer convolutions read. */
  private get inputCodes(): InputCodes | null {
    const { activations } = this.quantization;
    if (!this.quantizesInput || !this.calibrated.input || activations?.dtype !== 'int8' || this.input_scale.dtype !== 'float32')
      return null;
    return { qtype: activations, scale: this.input_scale };
  }

  override computeFused(src: Tensor, steps: ConvSteps, reader: Conv2d | null): Tensor | null {
    // A calibration sees every activation, and an output that is quantized is so before the steps.
    const { activations } = this.quantization;
    if (calibrations.current || (activations && this.calibrated.output && this.outputQuantized)) return null;
    const weight = this.qweight;
    if (src.dtype !== 'float32' || weight.dtype !== 'float32') return null;
    if (src instanceof QTensor) {
      // Of another type than this module's, forward says what is wrong.
      const isActivation = src instanceof QBytesTensor && src.axis === null && src.qtype.dtype === 'int8';
      if (!isActivation || (activations && src.qtype !== activations)) return null;
      return this.convolveCodes(src.codes, src.scale, weight, steps, reader);
    }
    const codes = this.inputCodes;
    if (codes) return this.convolveCodes(src, codes.scale, weight, steps, reader);
    if (activations && this.quantizesInput && this.calibrated.input) return null;
    const product = convolveWeightOnly(src, weight, this.bias, convAttributes(this), steps);
    return product ?? conv2dFused(src, weight.dequantize(), this.bias, this, steps);
  }

  /** In integers, to float32 or to the codes that the next convolution wants; null for weights of other types. */
  private convolveCodes(src: Tensor, srcScale: Tensor, weight: Tensor, steps: ConvSteps, reader: Conv2d | null): Tensor | null {
    if (!isInt8Weight(weight)) return null;
    const wanted = reader instanceof QConv2d ? reader.inputCodes : null;
    const scales = { input: srcScale, output: wanted?.scale ?? null };
    const result = convolveIntegers(src, weight, this.bias, convAttributes(this), scales, steps);
    return wanted ? new QBytesTensor(wanted.qtype, null, { codes: result, scale: wanted.scale.share() }) : result;
  }
}
