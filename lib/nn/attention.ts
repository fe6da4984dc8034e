import { add, maskedFill, mul } from '../ops/binary';
import { full } from '../ops/creation';
import { triu } from '../ops/indexing';
import { linear, matmul } from '../ops/matmul';
import { softmax } from '../ops/norm';
import { dropout } from '../ops/random';
import { mean } from '../ops/reduce';
import { permute, reshape, slice, transpose, unsqueeze } from '../ops/shape';
import { QuantoError } from '../tensor/error';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { xavierUniform_ } from './init';
import { filledParameter, type LayerOptions, requireLayerDType, requireSizes } from './layer';
import { Linear } from './linear';
import { Module } from './module';

export interface MultiheadAttentionCall {
  /** Queries see only the keys up to their own place. */
  causal?: boolean;
  /** [L, S] or [N * numHeads, L, S]; bool: true where a query must not see a key (as in PyTorch), or floats that are added to the scores. */
  attnMask?: Tensor | null;
  /** bool [N, S]: true where a key is padding. */
  keyPaddingMask?: Tensor | null;
  /** Whether the weights are a result too, their mean over the heads. Default: false. */
  needWeights?: boolean;
}

export interface MultiheadAttentionOptions extends LayerOptions {
  /** Share of the weights that training drops. Default: 0. */
  dropout?: number;
  bias?: boolean;
  /** Whether tensors are [N, L, E] instead of [L, N, E]. Default: false, as in PyTorch. */
  batchFirst?: boolean;
}

/**
 * Attention in several subspaces (Vaswani et al. 2017): query [L, N, E], key and value [S, N, E] -> [L, N, E], or with N first where
 * `batchFirst` is set. The second result is null, or weights [N, L, S]. The state has PyTorch's names: in_proj_weight [3E, E],
 * in_proj_bias [3E], out_proj.
 */
export class MultiheadAttention extends Module<
  [query: Tensor, key: Tensor, value: Tensor, call?: MultiheadAttentionCall],
  [output: Tensor, weights: Tensor | null]
> {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly dropout: number;
  readonly batchFirst: boolean;
  in_proj_weight: Tensor;
  in_proj_bias: Tensor | null;
  out_proj: Linear;

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    requireSizes('MultiheadAttention', { embedDim, numHeads });
    requireLayerDType('MultiheadAttention', options);
    if (embedDim % numHeads !== 0) {
      throw new QuantoError('INVALID_ARGUMENT', `[MultiheadAttention] expected heads that divide ${embedDim} but got ${numHeads}`);
    }
    const { dropout: p = 0, bias = true, batchFirst = false } = options;
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.dropout = p;
    this.batchFirst = batchFirst;
    this.in_proj_weight = xavierUniform_(filledParameter([3 * embedDim, embedDim], 0, options));
    this.in_proj_bias = bias ? filledParameter([3 * embedDim], 0, options) : null;
    this.out_proj = new Linear(embedDim, embedDim, { bias, dtype: options.dtype, device: options.device });
    if (this.out_proj.bias) constant_(this.out_proj.bias, 0);
  }
}
