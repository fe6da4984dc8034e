import { Conv2d } from '../nn';
import { conv2d } from '../ops/conv';
import type { Tensor } from '../tensor/tensor';

import { QModule } from './qmodule';

/** A convolution with quantized weights; it computes in float, so its input is not quantized here. */
export class QConv2d extends QModule(Conv2d) {
  override get operation(): string {
    return 'conv2d';
  }

  compute(input: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this;
    return conv2d(input, this.qweight, this.bias, { stride, padding, dilation, groups });
  }
}
