import { scaledDotProductAttention } from '../ops/attention';
import { add, maskedFill, mul } from '../ops/binary';
import { ones, zeros } from '../ops/creation';
import { triu } from '../ops/indexing';
import { linear, matmul } from '../ops/matmul';
import { softmax } from '../ops/norm';
import { dropout } from '../ops/random';
import { mean } from '../ops/reduce';
import { permute, reshape, slice, transpose } from '../ops/shape';
import { QuantoError } from '../tensor/error';
import { requireShape } from '../tensor/op';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { xavierUniform_, zeros_ } from './init';
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
    if (this.out_proj.bias) zeros_(this.out_proj.bias);
  }

  forward(query: Tensor, key: Tensor, value: Tensor, call: MultiheadAttentionCall = {}): [Tensor, Tensor | null] {
    return tidy(() => {
      const [q, k, v] = [query, key, value].map((src, i) => this.heads(this.project(src, i)));
      const p = this.training ? this.dropout : 0;
      const [attended, weights] = call.needWeights === true ? this.weighted(q, k, v, call, p) : [this.attended(q, k, v, call, p), null];
      const [batch, , length] = attended.shape;
      const joined = this.batchFirst
        ? reshape(permute(attended, 0, 2, 1, 3), batch, length, this.embedDim)
        : reshape(permute(attended, 2, 0, 1, 3), length, batch, this.embedDim);
      return [this.out_proj.forward(joined), weights && mean(weights, { axis: 1 })];
    });
  }

  /** Query, key or value (0, 1, 2) through its third of the projection. */
  private project(src: Tensor, third: number): Tensor {
    if (src.ndim !== 3 || src.shape[2] !== this.embedDim) {
      const expected = this.batchFirst ? 'N, L' : 'L, N';
      throw new QuantoError(
        'SHAPE_MISMATCH',
        `[MultiheadAttention] expected an operand [${expected}, ${this.embedDim}] but got shape [${src.shape.join(', ')}]`,
      );
    }
    const rows = (state: Tensor) => slice(state, 0, third * this.embedDim, (third + 1) * this.embedDim);
    return linear(src, rows(this.in_proj_weight), this.in_proj_bias && rows(this.in_proj_bias));
  }

  /** [L, N, E] or [N, L, E] -> [N, heads, L, E / heads]. */
  private heads(src: Tensor): Tensor {
    const split = reshape(src, src.shape[0], src.shape[1], this.numHeads, this.embedDim / this.numHeads);
    return this.batchFirst ? permute(split, 0, 2, 1, 3) : permute(split, 1, 2, 0, 3);
  }

  private attended(q: Tensor, k: Tensor, v: Tensor, call: MultiheadAttentionCall, p: number): Tensor {
    // Places alone hide no query's every key; together with a mask they may, and that gives NaN, as in PyTorch.
    const causal = call.causal === true && !call.attnMask && !call.keyPaddingMask;
    return scaledDotProductAttention(q, k, v, { causal, mask: causal ? null : this.bias(q, k, call), dropout: p });
  }

  /** The same with the weights [N, heads, L, S], before dropout. */
  private weighted(q: Tensor, k: Tensor, v: Tensor, call: MultiheadAttentionCall, p: number): [Tensor, Tensor] {
    const scores = matmul(mul(q, 1 / Math.sqrt(this.embedDim / this.numHeads)), transpose(k, -2, -1));
    const bias = this.bias(q, k, call);
    const weights = softmax(bias ? add(scores, bias) : scores, -1);
    return [matmul(dropout(weights, { p, training: p > 0 }), v), weights];
  }

  /** What is added to the scores [N, heads, L, S]: -infinity for everything out of sight. Null: nothing. */
  private bias(q: Tensor, k: Tensor, { causal = false, attnMask = null, keyPaddingMask = null }: MultiheadAttentionCall): Tensor | null {
    const [batch, heads, length] = q.shape;
    const keys = k.shape[2];
    const hidden = (mask: Tensor) => maskedFill(zeros(mask.shape, { dtype: q.dtype, device: q.device }), mask, -Infinity);
    const parts: Tensor[] = [];
    if (causal) parts.push(hidden(triu(ones([length, keys], { dtype: 'bool', device: q.device }), 1)));
    if (attnMask) {
      const eachHead = attnMask.ndim === 3;
      // Another shape of as many elements would be read in another order.
      requireShape('MultiheadAttention', 'attnMask', attnMask, eachHead ? [batch * heads, length, keys] : [length, keys]);
      const mask = eachHead ? reshape(attnMask, batch, heads, length, keys) : attnMask;
      parts.push(mask.dtype === 'bool' ? hidden(mask) : mask);
    }
    if (keyPaddingMask) {
      requireShape('MultiheadAttention', 'keyPaddingMask', keyPaddingMask, [batch, keys]);
      parts.push(hidden(reshape(keyPaddingMask, batch, 1, 1, keys)));
    }
    return parts.length > 0 ? parts.reduce((sum, part) => add(sum, part)) : null;
  }

  protected override extraRepr(): string {
    return `embedDim=${this.embedDim}, numHeads=${this.numHeads}, batchFirst=${this.batchFirst}`;
  }
}
