import { native } from '../native';
import { deviceCode } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { recordsGradient } from '../tensor/grad-mode';
import { type AnyOp, apply, type Op, requireTensor } from '../tensor/op';
import { tidy } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import { add, maskedFill, mul } from './binary';
import { ones } from './creation';
import { tril } from './indexing';
import { matmul } from './matmul';
import { softmax } from './norm';
import { dropout } from './random';
import { reshape, transpose } from './shape';
import { logicalNot } from './unary';

export interface AttentionOptions {
  /** bool: true where a query may see a key; or floats that are added to the scores. Broadcasts to [..., L, S]. */
  mask?: Tensor | null;
  /** Query i sees the keys up to i. Default: false. */
  causal?: boolean;
  /** Places by which the first query stands behind the first key: with `causal`, query i sees the keys up to i + offset. Default: 0. */
  offset?: number;
  /** Default: 1 / sqrt(E). */
  scale?: number;
  /** The share of the weights that training drops. Default: 0. */
  dropout?: number;
}

/** [..., heads, L, E] with its heads gathered in groups: [..., heads / group, group * L, E]. A view of a row-major tensor. */
function groupHeads(src: Tensor, group: number): Tensor {
  if (group === 1) return src;
  const [heads, length, width] = src.shape.slice(-3);
  return reshape(src, [...src.shape.slice(0, -3), heads / group, group * length, width]);
}

function ungroupHeads(src: Tensor, group: number): Tensor {
  if (group === 1) return src;
  const [heads, length, width] = src.shape.slice(-3);
  return reshape(src, [...src.shape.slice(0, -3), heads * group, length / group, width]);
}

/** Heads of the query that share one head of the key and value (grouped-query attention, Ainslie et al. 2023). */
function headGroup(query: Tensor, key: Tensor): number {
  if (query.ndim < 3 || key.ndim !== query.ndim) return 1;
  const [heads, shared] = [query.shape[query.ndim - 3], key.shape[key.ndim - 3]];
  if (heads === shared || heads === 1 || shared === 1) return 1;
  if (heads % shared === 0) return heads / shared;
  throw new QuantoError(
    'SHAPE_MISMATCH',
    `[scaledDotProductAttention] expected the query's heads to be a multiple of the key's but got ${heads} and ${shared}`,
  );
}

/** @internal What attention needs to know beside its operands. */
export interface AttentionAttributes {
  readonly scale: number;
  readonly causal: boolean;
  readonly offset: number;
  /** Heads of the query for each head of the key and value. */
  readonly group: number;
}

/** @internal The scales of int8 codes. */
export interface AttentionScales {
  readonly query: Tensor;
  readonly key: Tensor;
  /** Where the values are codes too. */
  readonly value: Tensor | null;
}

/** @internal The native call. */
export function nativeAttention(inputs: readonly Tensor[], attributes: AttentionAttributes, scales: AttentionScales | null = null): Tensor {
  const [query, key, value, mask] = inputs as readonly [Tensor, Tensor, Tensor, Tensor | undefined];
  const { scale, causal, offset, group } = attributes;
  return Tensor.fromNative(
    native.attention(
      query.native,
      key.native,
      value.native,
      mask?.native ?? null,
      scales?.query.native ?? null,
      scales?.key.native ?? null,
      scales?.value?.native ?? null,
      scale,
      causal,
      offset,
      group,
    ),
  );
}

/** The whole of attention in one pass, for evaluation: no tensor of scores is made. Where gradients are recorded it is `composed`. */
const attentionOp: Op<AttentionAttributes> = {
  name: 'attention',
  forward: (inputs, attributes) => nativeAttention(inputs, attributes),
  vjp: null,
};

/** Whether the one op takes these operands: of one dtype, and with a mask that leaves the scores' shape [..., L, S] and dtype as they are. */
function isUniform(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | null): boolean {
  if (query.dtype !== key.dtype || key.dtype !== value.dtype) return false;
  if (!mask) return true;
  if (mask.isQuantized || (mask.dtype !== 'bool' && mask.dtype !== query.dtype)) return false;
  const [length, keys] = [query, key].map(({ shape }) => shape[shape.length - 2]);
  return [1, keys].includes(mask.shape.at(-1) ?? 1) && [1, length].includes(mask.shape.at(-2) ?? 1);
}

/** Attention in ops that are recorded one by one. */
function composed(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  mask: Tensor | null,
  attributes: AttentionAttributes,
  dropped: number,
): Tensor {
  const { scale, causal, offset, group } = attributes;
  return tidy(() => {
    const scores = ungroupHeads(matmul(groupHeads(mul(query, scale), group), transpose(key, -2, -1)), group);
    const [length, keys] = scores.shape.slice(-2);
    const forbidden = [
      ...(causal ? [tril(ones([length, keys], { dtype: 'bool', device: query.device }), offset)] : []),
      ...(mask?.dtype === 'bool' ? [mask] : []),
    ].map(logicalNot);
    const biased = mask && mask.dtype !== 'bool' ? add(scores, mask) : scores;
    // Finite, so that a row of nothing but masked scores has no NaN; its weights are cleared below.
    const lowest = scores.dtype === 'float16' ? -65504 : -3e38;
    const masked = forbidden.reduce((kept, hidden) => maskedFill(kept, hidden, lowest), biased);
    const weights = forbidden.reduce((kept, hidden) => maskedFill(kept, hidden, 0), softmax(masked, -1));
    const attended = matmul(groupHeads(dropped > 0 ? dropout(weights, { p: dropped }) : weights, group), value);
    return ungroupHeads(attended, group);
  });
}

/**
 * softmax(query key^T * scale + mask) value (Vaswani et al. 2017) for query [..., H, L, E], key [..., G, S, E] and value [..., G, S, V],
 * where G divides H: [..., H, L, V]. A query that may see no key gives zeros. Where no gradient is recorded the result is laid out as
 * [..., L, H, V], so that its heads join without a copy.
 */
export function scaledDotProductAttention(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions = {}): Tensor {
  const op = 'scaledDotProductAttention';
  for (const operand of [query, key, value]) {
    if (requireTensor(op, operand).ndim >= 2) continue;
    throw new QuantoError('SHAPE_MISMATCH', `[${op}] expected at least 2 dimensions [L, E] but got shape [${operand.shape.join(', ')}]`);
  }
  const { mask = null, causal = false, offset = 0, dropout: dropped = 0 } = options;
  const { scale = 1 / Math.sqrt(query.shape[query.ndim - 1]) } = options;
  const attributes = { scale, causal, offset, group: headGroup(query, key) };
  const inputs = [query, key, value, ...(mask ? [requireTensor(op, mask)] : [])];
  const fused =
    dropped === 0 && !recordsGradient(inputs) && isUniform(query, key, value, mask) && native.hasAttention(deviceCode(query.device));
  return fused ? apply(attentionOp, inputs, attributes) : composed(query, key, value, mask, attributes, dropped);
}

export const attentionOps: readonly AnyOp[] = [attentionOp];
