// stories260K: a real Llama, its tokenizer, and the text that its perplexity is documented on (data/README.md beside the checkout).
import { readFileSync } from 'node:fs';

import { loadSafetensors, readSafetensorsMetadata } from '../../lib/io';
import { Llama } from '../../lib/models';
import { functional as F } from '../../lib/nn';
import { tensor, type Tensor } from '../../lib';
import { noGrad } from '../../lib/tensor/grad-mode';
import { tidy } from '../../lib/tensor/scope';

import { sharedPath } from './shared';
import type { Tok512 } from './tok512';

export const storiesFiles = ['data/lm/stories260K.safetensors', 'data/lm/tok512.bin', 'data/text/tinystories_197k.txt'];

export const tokensOf = (...rows: number[][]): Tensor => tensor(rows, { dtype: 'int64' });

export async function loadStories(): Promise<Llama> {
  const weights = sharedPath(storiesFiles[0]);
  const sizes = await readSafetensorsMetadata(weights);
  const model = new Llama({
    vocab_size: Number(sizes.vocab_size),
    hidden_size: Number(sizes.dim),
    intermediate_size: Number(sizes.hidden_dim),
    num_hidden_layers: Number(sizes.n_layers),
    num_attention_heads: Number(sizes.n_heads),
    num_key_value_heads: Number(sizes.n_kv_heads),
    rms_norm_eps: Number(sizes.norm_eps),
    rope_theta: 10000,
    rope_interleaved: true,
    tie_word_embeddings: true,
  });
  model.loadStateDict(await loadSafetensors(weights));
  return model;
}

/** The first 100 stories of the text, as the documented perplexity takes them. */
export function storyChunks(tokenizer: Tok512): number[][] {
  const pieces = readFileSync(sharedPath(storiesFiles[2]), 'utf8')
    .split(/(?=Once upon a time)/)
    .map((piece) => piece.trim())
    .filter((piece) => piece.length > 300 && piece.length < 1800);
  return pieces.slice(0, 100).map((piece) => tokenizer.encode(piece).slice(0, 400));
}

/** exp of the mean negative log likelihood over all predicted tokens. */
export function perplexity(model: Llama, chunks: number[][]): { perplexity: number; predicted: number } {
  let loss = 0;
  for (let first = 0; first < chunks.length; first += 10) loss += noGrad(() => tidy(() => lossOf(model, chunks.slice(first, first + 10))));
  const predicted = chunks.reduce((count, chunk) => count + chunk.length - 1, 0);
  return { perplexity: Math.exp(loss / predicted), predicted };
}

/** Sum of the negative log likelihoods of a batch; what pads shorter chunks is neither seen nor counted. */
function lossOf(model: Llama, batch: number[][]): number {
  const length = Math.max(...batch.map((chunk) => chunk.length)) - 1;
  const padded = (rows: number[][], value: number) => rows.map((row) => [...row, ...Array<number>(length - row.length).fill(value)]);
  const seen = batch.map((chunk) => chunk.slice(0, -1));
  const predicted = batch.map((chunk) => chunk.slice(1));
  const logits = model.forward(tokensOf(...padded(seen, 0)));
  const targets = tokensOf(...padded(predicted, -100));
  return F.crossEntropy(logits.reshape(-1, model.config.vocab_size), targets.reshape(-1), { reduction: 'sum' }).item();
}

/**
 * Makes two channels of each norm 60 times larger, and the weights that read them 60 times smaller: the same function with the outliers
 * that large language models have.
 */
export function injectOutliers(model: Llama): Llama {
  const factors = Array<number>(model.config.hidden_size).fill(1);
  factors[5] = factors[40] = 60;
  const scale = tensor(factors);
  const state = model.stateDict();
  for (const [name, value] of Object.entries(state)) {
    if (/_norm\.weight$/.test(name)) state[name] = value.mul(scale);
    else if (/\.(wq|wk|wv|w1|w3)\.weight$/.test(name)) state[name] = value.div(scale);
  }
  model.loadStateDict(state);
  return model;
}
