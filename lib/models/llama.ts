import { Embedding, type Followers, forwardThen, functional as F, type Fusion, Linear, Module, ModuleList, RMSNorm } from '../nn';
import { add, mul } from '../ops/binary';
import { reshape, transpose } from '../ops/shape';
import { QuantoError } from '../tensor/error';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import type { KeyValueCache } from './kv-cache';
import { RotaryEmbedding } from './rotary';

/** Sizes of a Llama, under the names of Hugging Face's config.json. */
export interface LlamaConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** Heads of keys and values; queries share them in groups. Default: num_attention_heads. */
  num_key_value_heads?: number;
  /** Default: hidden_size / num_attention_heads. */
  head_dim?: number;
  /** Default: 1e-6. */
  rms_norm_eps?: number;
  /** Default: 10000; newer files have it in rope_parameters. */
  rope_theta?: number;
  rope_parameters?: { rope_theta?: number; rope_type?: string };
  /** Whether rotated pairs are neighbours, as in Meta's files, instead of half a head apart. Default: false. */
  rope_interleaved?: boolean;
  /** Whether the output layer is the embedding. Default: false. */
  tie_word_embeddings?: boolean;
}

/** Attention in which several query heads share one head of keys and values (Ainslie et al. 2023). */
class LlamaAttention extends Module<[src: Tensor, cache?: KeyValueCache, layer?: number]> {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  wq: Linear;
  wk: Linear;
  wv: Linear;
  wo: Linear;

  constructor(
    config: LlamaConfig,
    private readonly rotary: RotaryEmbedding,
  ) {
    super();
    const { hidden_size: size, num_attention_heads: heads } = config;
    this.heads = heads;
    this.kvHeads = config.num_key_value_heads ?? heads;
    this.headDim = headDimOf(config);
    this.wq = new Linear(size, this.heads * this.headDim, { bias: false });
    this.wk = new Linear(size, this.kvHeads * this.headDim, { bias: false });
    this.wv = new Linear(size, this.kvHeads * this.headDim, { bias: false });
    this.wo = new Linear(this.heads * this.headDim, size, { bias: false });
  }

  forward(src: Tensor, cache?: KeyValueCache, layer = 0): Tensor {
    const [batch, length] = src.shape;
    const split = (projected: Tensor, heads: number) => transpose(reshape(projected, batch, length, heads, this.headDim), 1, 2);
    const start = cache?.length(layer) ?? 0;
    const query = this.rotary.apply(split(this.wq.forward(src), this.heads), start);
    const latestKey = this.rotary.apply(split(this.wk.forward(src), this.kvHeads), start);
    const latestValue = split(this.wv.forward(src), this.kvHeads);
    const [key, value] = cache ? cache.append(layer, latestKey, latestValue) : [latestKey, latestValue];
    // Each query sees all that came before it, and itself; a single one sees everything.
    const attended = F.scaledDotProductAttention(query, key, value, { causal: length > 1, offset: start });
    return this.wo.forward(reshape(transpose(attended, 1, 2), batch, length, this.heads * this.headDim));
  }
}

const gate: Followers = { activation: 'silu' };

/** SwiGLU (Shazeer 2020). */
class LlamaFeedForward extends Module {
  w1: Linear;
  w2: Linear;
  w3: Linear;

  constructor({ hidden_size: size, intermediate_size: inner }: LlamaConfig) {
    super();
    this.w1 = new Linear(size, inner, { bias: false });
    this.w2 = new Linear(inner, size, { bias: false });
    this.w3 = new Linear(size, inner, { bias: false });
  }

  forward(src: Tensor): Tensor {
    return this.w2.forward(mul(forwardThen(this.w1, src, gate), this.w3.forward(src)));
  }

  override fusions(): readonly Fusion[] {
    return [{ layer: this.w1, ...gate }];
  }
}

class LlamaBlock extends Module<[src: Tensor, cache?: KeyValueCache, layer?: number]> {
  attention: LlamaAttention;
  feed_forward: LlamaFeedForward;
  attention_norm: RMSNorm;
  ffn_norm: RMSNorm;

  constructor(config: LlamaConfig, rotary: RotaryEmbedding) {
    super();
    const eps = config.rms_norm_eps ?? 1e-6;
    this.attention = new LlamaAttention(config, rotary);
    this.feed_forward = new LlamaFeedForward(config);
    this.attention_norm = new RMSNorm(config.hidden_size, { eps });
    this.ffn_norm = new RMSNorm(config.hidden_size, { eps });
  }

  forward(src: Tensor, cache?: KeyValueCache, layer?: number): Tensor {
    return tidy(() => {
      const [attention, feedForward] = this.fusions();
      const hidden = add(src, this.attention.forward(forwardThen(this.attention_norm, src, attention), cache, layer));
      return add(hidden, this.feed_forward.forward(forwardThen(this.ffn_norm, hidden, feedForward)));
    });
  }

  override fusions(): readonly Fusion[] {
    const { attention_norm, attention, ffn_norm, feed_forward } = this;
    // A hook sees what attention or the feed-forward layer is given.
    const plain = [attention.forward === LlamaAttention.prototype.forward, feed_forward.forward === LlamaFeedForward.prototype.forward];
    return [
      { layer: attention_norm, readers: plain[0] ? [attention.wq, attention.wk, attention.wv] : [] },
      { layer: ffn_norm, readers: plain[1] ? [feed_forward.w1, feed_forward.w3] : [] },
    ];
  }
}

/**
 * Llama (Touvron et al. 2023): tokens int64 [N, L] -> logits [N, L, vocab_size]. The state has the names of Meta's checkpoints;
 * `llamaKeys` gives them to Hugging Face's. With tied embeddings there is no `output`.
 */
export class Llama extends Module<[tokens: Tensor, cache?: KeyValueCache]> {
  readonly config: LlamaConfig;
  tok_embeddings: Embedding;
  layers: ModuleList<LlamaBlock>;
  norm: RMSNorm;
  output: Linear | null;

  constructor(config: LlamaConfig) {
    super();
    const headDim = headDimOf(config);
    const { num_attention_heads: heads, num_key_value_heads: kvHeads = heads } = config;
    if (heads % kvHeads !== 0 || headDim % 2 !== 0) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[Llama] expected kv heads that divide ${heads} heads and an even head size but got ${kvHeads} and ${headDim}`,
      );
    }
    const ropeType = config.rope_parameters?.rope_type ?? 'default';
    if (ropeType !== 'default') {
      throw new QuantoError('NOT_SUPPORTED', `[Llama] expected rope_type 'default' but got '${ropeType}'`);
    }
    this.config = config;
    const theta = config.rope_theta ?? config.rope_parameters?.rope_theta ?? 10000;
    const rotary = new RotaryEmbedding(headDim, theta, config.rope_interleaved ?? false);
    this.tok_embeddings = new Embedding(config.vocab_size, config.hidden_size);
    this.layers = new ModuleList(Array.from({ length: config.num_hidden_layers }, () => new LlamaBlock(config, rotary)));
    this.norm = new RMSNorm(config.hidden_size, { eps: config.rms_norm_eps ?? 1e-6 });
    this.output = config.tie_word_embeddings === true ? null : new Linear(config.hidden_size, config.vocab_size, { bias: false });
  }

  /** With a cache, `tokens` follow those of earlier calls. */
  forward(tokens: Tensor, cache?: KeyValueCache): Tensor {
    return tidy(() => {
      let hidden = this.tok_embeddings.forward(tokens);
      for (const [i, layer] of [...this.layers].entries()) hidden = layer.forward(hidden, cache, i);
      const [last] = this.fusions();
      const normed = forwardThen(this.norm, hidden, last);
      return this.output ? this.output.forward(normed) : F.linear(normed, this.tok_embeddings.weight);
    });
  }

  override fusions(): readonly Fusion[] {
    return [{ layer: this.norm, readers: this.output ? [this.output] : [] }];
  }
}

function headDimOf(config: LlamaConfig): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

const huggingFaceNames: readonly (readonly [RegExp, string])[] = [
  [/^lm_head\./, 'output.'],
  [/^model\.embed_tokens\./, 'tok_embeddings.'],
  [/^model\.norm\./, 'norm.'],
  [/^model\.layers\./, 'layers.'],
  [/\.input_layernorm\./, '.attention_norm.'],
  [/\.post_attention_layernorm\./, '.ffn_norm.'],
  [/\.self_attn\.([qkvo])_proj\./, '.attention.w$1.'],
  [/\.mlp\.gate_proj\./, '.feed_forward.w1.'],
  [/\.mlp\.down_proj\./, '.feed_forward.w2.'],
  [/\.mlp\.up_proj\./, '.feed_forward.w3.'],
];

/** A state dict or quantization map with Hugging Face's Llama names under the names of this model; other names stay. */
export function llamaKeys<T>(entries: Readonly<Record<string, T>>): Record<string, T> {
  // Module names, which end where a parameter's name has its last dot, are renamed, too.
  const rename = (key: string) => huggingFaceNames.reduce((name, [from, to]) => name.replace(from, to), `${key}.`).slice(0, -1);
  return Object.fromEntries(Object.entries(entries).map(([key, value]) => [rename(key), value]));
}
