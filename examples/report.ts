// Which layer hurts? Trains the small MNIST model of the demo on a tenth of the images, quantizes it, and writes two pages of plots:
// what quantization changes in each layer, and what the model loses when one layer alone is quantized.
//   npx ts-node examples/report.ts [folder]
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, explain, freeze, manualSeed, nn, noGrad, qfloat8_e5m2, qint8, quantize, sensitivity, suggest, type Tensor } from 'quanto';
import { type Dataset, inOrder, loadMnist } from './mnist/dataset';
import { createModel } from './mnist/model';
import { calibrate, train } from './mnist/train';

const BATCH_SIZE = 128;

/** Images of a dataset, one batch after another. */
function* batches(data: Dataset): Generator<Tensor> {
  for (const selection of inOrder(data.size, BATCH_SIZE)) {
    const { images, labels } = data.batch(selection);
    labels.dispose();
    yield images;
    images.dispose();
  }
}

async function main(folder: string): Promise<void> {
  manualSeed(1);
  const [trainData, testData] = await Promise.all([loadMnist('train', 6000, 'cpu'), loadMnist('test', 1000, 'cpu')]);
  const model = createModel();
  await train(model, trainData, { epochs: 2, batchSize: BATCH_SIZE, learningRate: 1e-3 });

  const quantized = quantize(model, { weights: qint8, activations: qint8, inPlace: false });
  await calibrate(quantized, trainData, { batches: 20, batchSize: BATCH_SIZE });
  freeze(quantized);
  console.log(`\nhow each layer is computed\n${String(explain(quantized))}`);

  const comparison = await compare(model, quantized, batches(testData));
  console.log(`\nwhat quantization changes\n${String(comparison)}`);

  // A generator ends; a function gives a new one for each trial.
  const { images, labels } = testData.batch(inOrder(testData.size, testData.size)[0]);
  const loss = async (candidate: nn.Module) => {
    using loss = noGrad(() => nn.functional.crossEntropy(candidate.forward(images), labels));
    return Number((await loss.data())[0]);
  };
  const result = await sensitivity(model, loss, () => batches(trainData), { weights: [qint8, qfloat8_e5m2], activations: qint8 });
  console.log(`\nwhat each layer loses alone (cross-entropy)\n${String(result)}`);

  const maxBytes = Math.round(0.3 * result.floatBytes);
  const map = suggest(result, { maxBytes });
  console.log(`\nsuggested for ${maxBytes} bytes: ${JSON.stringify(map)}, estimated ${JSON.stringify(result.estimate(map))}`);

  await mkdir(folder, { recursive: true });
  await comparison.saveHtml(join(folder, 'comparison.html'));
  await result.saveHtml(join(folder, 'sensitivity.html'));
  console.log(`the pages are in ${folder}`);
}

void main(process.argv.at(2) ?? join(tmpdir(), 'quanto-report'));
