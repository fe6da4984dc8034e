// Layers without state, under the names of torch.nn.functional. All are ops with gradients.
import { div, maximum } from '../ops/binary';
import { to } from '../ops/convert';
import { sum } from '../ops/reduce';
import { sqrt, square } from '../ops/unary';
import { isReal } from '../tensor/dtype';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

export { scaledDotProductAttention, type AttentionOptions } from '../ops/attention';
export { adaptiveAvgPool2d, avgPool2d, conv2d, maxPool2d, type Conv2dOptions, type Pair, type PoolOptions } from '../ops/conv';
export { embedding, oneHot } from '../ops/indexing';
export {
  binaryCrossEntropyWithLogits,
  crossEntropy,
  huberLoss,
  l1Loss,
  mseLoss,
  nllLoss,
  smoothL1Loss,
  type CrossEntropyOptions,
  type NllOptions,
  type Reduction,
} from '../ops/loss';
export { intMatmul, linear } from '../ops/matmul';
export { batchNorm, layerNorm, logSoftmax, rmsNorm, softmax, type BatchNormOptions } from '../ops/norm';
export { dropout, type DropoutOptions } from '../ops/random';
export { pad } from '../ops/shape';
export { gelu, relu, sigmoid, silu, tanh } from '../ops/unary';

/** src divided by its L2 norm along an axis, or by `eps` where the norm is smaller. */
export function normalize(src: Tensor, options: { axis?: number; eps?: number } = {}): Tensor {
  const { axis = -1, eps = 1e-12 } = options;
  return tidy(() => {
    // In float32 squares stay in range, and the bound goes below the root, whose slope at 0 is infinite.
    const wide = to(src, 'float32');
    const squares = maximum(sum(square(wide), { axis, keepdim: true }), Math.max(eps * eps, 2 ** -126));
    return to(div(wide, sqrt(squares)), isReal(src.dtype) ? src.dtype : 'float32');
  });
}
