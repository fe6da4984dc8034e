// What quantization costs real models: perplexity of stories260K, top-1 of ResNet-20 on CIFAR-10. Reads ../shared/data.
//   npm run accuracy -- [stories] [outliers] [resnet] [tuning]
import Table from 'cli-table3';

import {
  calibration,
  freeze,
  HqqOptimizer,
  manualSeed,
  type models,
  noGrad,
  nn,
  optim,
  quantize,
  type QuantizeOptions,
  rand,
  setFloat32MatmulPrecision,
  smooth,
  type Tensor,
  tidy,
} from '../lib';
import { cifarFiles, imageBatches, loadResNet20, topOne } from '../test/harness/cifar';
import { sharedPath } from '../test/harness/shared';
import { injectOutliers, loadStories, perplexity, storiesFiles, storyChunks, tokensOf } from '../test/harness/stories';
import { Tok512 } from '../test/harness/tok512';

type Rows = [string, QuantizeOptions | null][];

const hqq = new HqqOptimizer();
const both = { weights: 'qint8', activations: 'qint8' } as const;

function print(what: string, unit: string, results: readonly (readonly [string, string])[]): void {
  const table = new Table({ head: [what, unit], style: { head: [], border: [] } });
  for (const [name, result] of results) table.push([name, result]);
  console.log(table.toString());
}

const chunks = () => storyChunks(new Tok512(sharedPath(storiesFiles[1])));
/** Some of the text, which is not all that perplexity is measured on. */
const someStories = (all: number[][]): Tensor[] => all.slice(0, 4).map((chunk) => tokensOf(chunk.slice(0, 200)));

async function storyResult(model: models.Llama, options: QuantizeOptions | null, all: number[][]): Promise<string> {
  if (options) {
    quantize(model, options);
    const isStatic = options.activations !== undefined && options.activationScale !== 'dynamic';
    if (isStatic) {
      calibration(() => {
        for (const tokens of someStories(all)) noGrad(() => tidy(() => void model.forward(tokens)));
      });
    }
    freeze(model);
  }
  return Promise.resolve(perplexity(model, all).perplexity.toFixed(4));
}

const storyRows: Rows = [
  ['float32', null],
  ['qint8', { weights: 'qint8' }],
  ['qint8, qint8 activations', both],
  ['qint8, qint8 activations by token', { ...both, activationScale: 'dynamic' }],
  ['qfloat8_e4m3fn', { weights: 'qfloat8_e4m3fn' }],
  ['qfloat8_e4m3fnuz', { weights: 'qfloat8_e4m3fnuz' }],
  ['qfloat8_e5m2', { weights: 'qfloat8_e5m2' }],
  ['qfloat8, qfloat8 activations', { weights: 'qfloat8', activations: 'qfloat8' }],
  ['qint4, rule', { weights: 'qint4' }],
  ['qint4, rule, HQQ', { weights: 'qint4', optimizer: hqq }],
  ['qint4, groups of 32', { weights: 'qint4', groupSize: 32 }],
  ['qint4, groups of 32, HQQ', { weights: 'qint4', groupSize: 32, optimizer: hqq }],
  ['qint4, groups of 16', { weights: 'qint4', groupSize: 16 }],
  ['qint4, groups of 32, qint8 activations by token', { ...both, weights: 'qint4', groupSize: 32, activationScale: 'dynamic' }],
  ['qint2, groups of 32', { weights: 'qint2', groupSize: 32 }],
  ['qint2, groups of 16, HQQ', { weights: 'qint2', groupSize: 16, optimizer: hqq }],
];

async function stories(): Promise<void> {
  const all = chunks();
  const results: [string, string][] = [];
  for (const [name, options] of storyRows) results.push([name, await storyResult(await loadStories(), options, all)]);
  setFloat32MatmulPrecision('high');
  results.push(['qint8, matmul precision high', await storyResult(await loadStories(), { weights: 'qint8' }, all)]);
  setFloat32MatmulPrecision('highest');
  print('stories260K', 'perplexity', results);
}

async function outliers(): Promise<void> {
  const all = chunks();
  const load = async () => injectOutliers(await loadStories());
  const results: [string, string][] = [['float32', await storyResult(await load(), null, all)]];
  results.push(['qint8, qint8 activations', await storyResult(await load(), both, all)]);
  for (const alpha of [0.5, 0.75]) {
    const model = await load();
    await smooth(model, someStories(all), { alpha });
    results.push([`the same, smoothed by ${alpha}`, await storyResult(model, both, all)]);
  }
  results.push(['the same, smoothing: dynamic', await storyResult(await load(), { ...both, smoothing: 'dynamic' }, all)]);
  results.push(['by token, not smoothed', await storyResult(await load(), { ...both, activationScale: 'dynamic' }, all)]);
  print('stories260K with outliers', 'perplexity', results);
}

const resnetRows: Rows = [
  ['float32', null],
  ['qint8', { weights: 'qint8' }],
  ...(['movingAverage', 'absmax', 'percentile', 'mse'] as const).map((observer): Rows[number] => [
    `qint8, qint8 activations, ${observer}`,
    { ...both, observer },
  ]),
  ['qfloat8, qfloat8 activations', { weights: 'qfloat8', activations: 'qfloat8' }],
  ['qint4', { weights: 'qint4' }],
  ['qint4, HQQ', { weights: 'qint4', optimizer: hqq }],
  ['qint2', { weights: 'qint2' }],
  ['qint2, HQQ', { weights: 'qint2', optimizer: hqq }],
];

async function resnet(): Promise<void> {
  const results: [string, string][] = [];
  for (const [name, options] of resnetRows) {
    const model = await loadResNet20();
    if (options) {
      quantize(model, options);
      const calibrate = () =>
        [...imageBatches(cifarFiles[3], 100)].forEach((images) => noGrad(() => tidy(() => void model.forward(images))));
      if (options.activations !== undefined) calibration(calibrate);
      freeze(model);
    }
    results.push([name, `${(100 * topOne(model)).toFixed(1)} %`]);
  }
  print('ResNet-20 on CIFAR-10', 'top-1', results);
}

/** Tunes a model to give the outputs of its float original on the calibration images, whose labels it does not need. */
async function tuning(epochs = 4): Promise<void> {
  manualSeed(1);
  const teacher = await loadResNet20();
  const images = [...imageBatches(cifarFiles[3], 1000)][0];
  const logits = noGrad(() => tidy(() => teacher.forward(images)));
  const results: [string, string][] = [['float32', `${(100 * topOne(teacher)).toFixed(1)} %`]];
  const plain = quantize(await loadResNet20(), { weights: 'qint2' });
  results.push(['qint2', `${(100 * topOne(plain)).toFixed(1)} %`]);
  // Batch statistics stay those of the float model: the model remains in evaluation.
  const optimizer = new optim.Adam(plain.parameters(), { lr: 1e-3 });
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = rand([1000]).topk(1000).indices;
    for (let first = 0; first < 1000; first += 50) {
      tidy(() => {
        optimizer.zeroGrad();
        const rows = order.slice(0, first, first + 50);
        const output = plain.forward(images.indexSelect(0, rows));
        nn.functional.mseLoss(output, logits.indexSelect(0, rows)).backward();
        optimizer.step();
      });
    }
    results.push([`tuned for ${epoch + 1} epochs`, `${(100 * topOne(plain)).toFixed(1)} %`]);
  }
  freeze(plain);
  results.push(['frozen', `${(100 * topOne(plain)).toFixed(1)} %`]);
  print('ResNet-20 tuned with 1,000 images', 'top-1', results);
}

const parts: Record<string, () => Promise<void>> = { stories, outliers, resnet, tuning };

async function main(): Promise<void> {
  const asked = process.argv.slice(2);
  for (const [name, run] of Object.entries(parts)) if (asked.length === 0 || asked.includes(name)) await run();
}

void main();
