import { Linear } from '../nn';
import { linear } from '../ops/matmul';
import type { Tensor } from '../tensor/tensor';

import { QModule } from './qmodule';

/** A linear layer on quantized weights and, when activations are quantized, integer inputs. */
export class QLinear extends QModule(Linear) {
  override get quantizesInput(): boolean {
    return true;
  }

  override get operation(): string {
    return 'linear';
  }

  compute(input: Tensor): Tensor {
    return linear(input, this.qweight, this.bias);
  }
}
