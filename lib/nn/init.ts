// Fills tensors in place and returns them, as torch.nn.init does; the numbers come from the library's seeded generator.
import { full } from '../ops/creation';
import { randn, uniform } from '../ops/random';
import { add, mul } from '../ops/raw';
import { native } from '../native';
import { QuantoError } from '../tensor/error';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** Which of a weight's sides keeps its variance. */
export type FanMode = 'fanIn' | 'fanOut';

function write(target: Tensor, values: () => Tensor): Tensor {
  tidy(() => native.copyInPlace(target.native, values().native));
  return target;
}

const like = ({ device }: Tensor) => ({ device });

/** Uniform in [low, high). */
export function uniform_(tensor: Tensor, low = 0, high = 1): Tensor {
  return write(tensor, () => uniform(tensor.shape, low, high, like(tensor)));
}

export function normal_(tensor: Tensor, mean = 0, deviation = 1): Tensor {
  return write(tensor, () => add(mul(randn(tensor.shape, like(tensor)), deviation), mean));
}

export function constant_(tensor: Tensor, value: number): Tensor {
  return write(tensor, () => full([], value, like(tensor)));
}

export const zeros_ = (tensor: Tensor): Tensor => constant_(tensor, 0);
export const ones_ = (tensor: Tensor): Tensor => constant_(tensor, 1);

/** Inputs and outputs of one unit of a weight [out, in, ...], each times the size of the receptive field. */
function fans(op: string, { shape }: Tensor): { fanIn: number; fanOut: number } {
  if (shape.length < 2) {
    throw new QuantoError('SHAPE_MISMATCH', `[${op}] expected a weight of at least 2 dimensions but got shape [${shape.join(', ')}]`);
  }
  const field = shape.slice(2).reduce((product, size) => product * size, 1);
  return { fanIn: shape[1] * field, fanOut: shape[0] * field };
}

/** Uniform in +-gain * sqrt(3 / fan), where gain = sqrt(2 / (1 + a^2)) suits a leaky ReLU of slope a (He et al. 2015). */
export function kaimingUniform_(tensor: Tensor, options: { a?: number; mode?: FanMode } = {}): Tensor {
  const { a = 0, mode = 'fanIn' } = options;
  const bound = Math.sqrt(6 / ((1 + a * a) * fans('kaimingUniform_', tensor)[mode]));
  return uniform_(tensor, -bound, bound);
}

/** Normal with deviation gain / sqrt(fan). */
export function kaimingNormal_(tensor: Tensor, options: { a?: number; mode?: FanMode } = {}): Tensor {
  const { a = 0, mode = 'fanIn' } = options;
  return normal_(tensor, 0, Math.sqrt(2 / ((1 + a * a) * fans('kaimingNormal_', tensor)[mode])));
}

/** Uniform in +-gain * sqrt(6 / (fanIn + fanOut)) (Glorot and Bengio 2010). */
export function xavierUniform_(tensor: Tensor, gain = 1): Tensor {
  const { fanIn, fanOut } = fans('xavierUniform_', tensor);
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
  return uniform_(tensor, -bound, bound);
}
