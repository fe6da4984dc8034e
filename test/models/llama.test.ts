import { readFileSync } from 'node:fs';

import { loadSafetensors } from '../../lib/io';
import { KeyValueCache, Llama, type LlamaConfig, llamaKeys } from '../../lib/models';
import { functional as F } from '../../lib/nn';
import { manualSeed, randint } from '../../lib/ops';
import { freeze, quantize } from '../../lib/quantize';
import { noGrad } from '../../lib/tensor/grad-mode';
import { tidy } from '../../lib/tensor/scope';
import { codeOf } from '../harness/errors';
import { describeWith, sharedPath } from '../harness/shared';
import { loadStories, perplexity, storiesFiles, storyChunks, tokensOf } from '../harness/stories';
import { BOS, Tok512 } from '../harness/tok512';

const tiny: LlamaConfig = {
  vocab_size: 11,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

function randomLlama(config: Partial<LlamaConfig> = {}): Llama {
  manualSeed(7);
  return new Llama({ ...tiny, ...config });
}

test('state dict has the names of Meta checkpoints; tied embeddings have no output', () => {
  const keys = Object.keys(randomLlama().stateDict());
  expect(keys).toContain('layers.1.attention.wq.weight');
  expect(keys).toContain('output.weight');
  expect(Object.keys(randomLlama({ tie_word_embeddings: true }).stateDict())).toEqual(keys.filter((key) => key !== 'output.weight'));
});

test.each([true, false])('a token never sees those after it (interleaved pairs: %p)', (interleaved) => {
  const model = randomLlama({ rope_interleaved: interleaved });
  const [a, b] = [
    [1, 2, 3, 4, 5],
    [1, 2, 3, 9, 9],
  ].map((row) => model.forward(tokensOf(row)));
  expect(a.slice(1, 0, 3).allclose(b.slice(1, 0, 3), { atol: 1e-6 })).toBe(true);
  expect(a.slice(1, 3).allclose(b.slice(1, 3), { atol: 1e-2 })).toBe(false);
});

test('a cache gives what the whole sequence gives, one token or several at a time', () => {
  const model = randomLlama();
  const row = [3, 1, 4, 1, 5, 9, 2, 6];
  const whole = model.forward(tokensOf(row));
  using cache = new KeyValueCache();
  const pieces = [row.slice(0, 3), row.slice(3, 4), row.slice(4)].map((piece) => model.forward(tokensOf(piece), cache));
  expect(pieces[0].cat(pieces.slice(1), 1).allclose(whole, { atol: 1e-5 })).toBe(true);
  expect(cache.length(1)).toBe(8);
});

test('gradients reach every parameter', () => {
  const model = randomLlama();
  const tokens = randint(0, 11, [2, 6]);
  F.crossEntropy(model.forward(tokens).reshape(-1, 11), tokens.reshape(-1)).backward();
  expect(model.namedParameters().filter(([, { grad }]) => grad === null || grad.absmax().item() === 0)).toEqual([]);
});

test('sizes that do not fit and unknown rotations are refused', () => {
  expect(codeOf(() => new Llama({ ...tiny, num_key_value_heads: 3 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Llama({ ...tiny, head_dim: 5 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Llama({ ...tiny, rope_parameters: { rope_type: 'yarn' } }))).toBe('NOT_SUPPORTED');
});

test('names of Hugging Face, of parameters and of modules, become those of the model', () => {
  const names = ['lm_head.weight', 'model.layers.3.self_attn.q_proj', 'model.layers.0.mlp.down_proj.weight._scale', 'model.norm.weight'];
  expect(Object.keys(llamaKeys(Object.fromEntries(names.map((name) => [name, 0]))))).toEqual([
    'output.weight',
    'layers.3.attention.wq',
    'layers.0.feed_forward.w2.weight._scale',
    'norm.weight',
  ]);
});

describeWith(storiesFiles, 'stories260K', () => {
  const tokenizer = new Tok512(sharedPath(storiesFiles[1]));
  let model: Llama;

  beforeAll(async () => {
    model = await loadStories();
  });

  test('greedy tokens are the documented ones', () => {
    const tokens = [BOS];
    using cache = new KeyValueCache();
    while (tokens.length < 62) {
      const next = noGrad(() =>
        tidy(() =>
          model
            .forward(tokensOf(tokens.slice(-1)), cache)
            .argmax({ axis: -1 })
            .item(),
        ),
      );
      tokens.push(next);
    }
    const documented =
      '1 403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267 337 410 408 419 292 411 322 265 282 295 433 ' +
      '426 385 328 432 358 394 261 370 432 352 266 268 388 426 338 391 266 267 337 335 312 432 398 312 286 267 414 270 333 415 426';
    expect(tokens.join(' ')).toBe(documented);
    expect(tokenizer.decode(tokens)).toBe(
      'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. ' +
        'She wanted to play with it, but it was too high.',
    );
  });

  test('perplexity on 100 pieces of text is the documented one', () => {
    const result = perplexity(model, storyChunks(tokenizer));
    expect(result.predicted).toBe(37089);
    expect(Math.abs(result.perplexity - 5.2385)).toBeLessThan(0.005);
  });
});

describeWith(['fixtures/t10_llama/model.safetensors'], "Hugging Face's tiny Llama", () => {
  test('logits are those of transformers, in float and with frozen int8 weights', async () => {
    const config = JSON.parse(readFileSync(sharedPath('fixtures/t10_llama/config.json'), 'utf8')) as LlamaConfig;
    const model = new Llama(config);
    model.loadStateDict(llamaKeys(await loadSafetensors(sharedPath('fixtures/t10_llama/model.safetensors'))));
    const io = await loadSafetensors(sharedPath('fixtures/t10_llama/io.safetensors'));
    expect(model.forward(io.input_ids).allclose(io.y_float, { atol: 1e-4, rtol: 1e-6 })).toBe(true);
    freeze(quantize(model, { weights: 'qint8' }));
    expect(model.forward(io.input_ids).allclose(io.y_qint8, { atol: 1e-4, rtol: 1e-6 })).toBe(true);
  });
});
