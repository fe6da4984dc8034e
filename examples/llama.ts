// A language model: trains a tiny Llama on the bytes of this repository's texts, quantizes its linear layers to int8, compares perplexity
// before and after, and lets the frozen model write. Takes about 15 seconds.
//   npx ts-node examples/llama.ts
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  arange,
  calibration,
  freeze,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  qint8,
  quantize,
  rand,
  randint,
  tensor,
  type Tensor,
  tidy,
} from 'quanto';

const LENGTH = 64;
const BATCH = 16;
const STEPS = 250;
// Below 1 the likelier bytes are chosen more often.
const TEMPERATURE = 0.6;

const config: models.LlamaConfig = {
  vocab_size: 256,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 3,
  tie_word_embeddings: true,
};

const files = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE'];
const prose = files.map((file) => readFileSync(join(__dirname, '..', file), 'utf8')).join(' ');
const bytes = Uint8Array.from(Buffer.from(prose.replace(/\s+/g, ' ')));
const heldOut = Math.floor(0.9 * bytes.length);

/** Windows of the text that begin at these places: tokens [N, LENGTH] and what comes after each, [N, LENGTH]. */
function windows(starts: Tensor): { tokens: Tensor; next: Tensor } {
  const places = starts.unsqueeze(1).add(arange(LENGTH));
  const at = (offset: number) => text.indexSelect(0, places.add(offset).flatten()).reshape(-1, LENGTH);
  return { tokens: at(0), next: at(1) };
}
const text = tensor(bytes).to('int64');

function loss(model: models.Llama, starts: Tensor): Tensor {
  return tidy(() => {
    const { tokens, next } = windows(starts);
    return nn.functional.crossEntropy(model.forward(tokens).flatten(0, 1), next.flatten());
  });
}

async function train(model: models.Llama): Promise<void> {
  using optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3 });
  const schedule = new optim.CosineAnnealingLR(optimizer, { totalSteps: STEPS });
  for (let step = 1; step <= STEPS; step++) {
    using value = tidy(() => {
      optimizer.zeroGrad();
      const value = loss(model, randint(0, heldOut - LENGTH, [BATCH]));
      value.backward();
      optim.clipGradNorm(model.parameters(), 1);
      optimizer.step();
      return value;
    });
    schedule.step();
    if (step % 50 === 0) console.log(`  step ${step}: loss ${Number((await value.data())[0]).toFixed(3)}`);
  }
}

/** exp(mean negative log likelihood) of the bytes that were held out of training: between how many bytes the model hesitates. */
function perplexity(model: models.Llama): string {
  const starts = arange(heldOut, bytes.length - LENGTH - 1, LENGTH);
  return Math.exp(noGrad(() => loss(model, starts).item())).toFixed(3);
}

/** Continues a prompt by bytes drawn from the model's distribution, up to `length`; the cache keeps keys and values, so each step computes one token. */
function write(model: models.Llama, prompt: string, length: number): string {
  using cache = new models.KeyValueCache();
  const draw = (tokens: number[]) =>
    tidy(() => {
      const logits = model.forward(tensor([tokens], { dtype: 'int64' }), cache).select(1, -1);
      // The largest logit after adding Gumbel noise is a sample of the softmax (Maddison et al. 2014).
      const noise = rand(logits.shape).log().neg().log().neg();
      return logits.div(TEMPERATURE).add(noise).argmax().item();
    });
  const written = [...Buffer.from(prompt)];
  let latest = written;
  while (written.length < length) {
    latest = [noGrad(() => draw(latest))];
    written.push(...latest);
  }
  return Buffer.from(written).toString();
}

async function main(): Promise<void> {
  manualSeed(1);
  const model = new models.Llama(config);
  console.log(`train on ${heldOut} bytes`);
  await train(model);
  console.log(`perplexity in float32:                  ${perplexity(model)}`);

  quantize(model, { weights: qint8, activations: qint8 });
  console.log(`perplexity with int8 weights:           ${perplexity(model)}`);
  calibration(() => noGrad(() => void loss(model, randint(0, heldOut - LENGTH, [4 * BATCH]))));
  console.log(`perplexity with int8 activations, too:  ${perplexity(model)}`);
  freeze(model);
  console.log(`the frozen model writes: ${JSON.stringify(write(model, 'The tensor ', LENGTH))}`);
}

void main();
