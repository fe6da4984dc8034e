import { calibration, nn, noGrad, optim, tidy } from 'quanto';
import { type Dataset, shuffled } from './dataset';
import { startProgress } from './progress';

// Reading a loss lets timers and I/O run, and keeps the queue of issued ops short.
const STEPS_BETWEEN_READS = 20;

export interface TrainOptions {
  epochs: number;
  batchSize: number;
  /** Falls to 0 along half a cosine. */
  learningRate: number;
}

/** Trains a model, float or quantized, with AdamW. */
export async function train(model: nn.Module, data: Dataset, { epochs, batchSize, learningRate }: TrainOptions): Promise<void> {
  model.train();
  const steps = Math.ceil(data.size / batchSize);
  using optimizer = new optim.AdamW(model.parameters(), { lr: learningRate });
  const schedule = new optim.CosineAnnealingLR(optimizer, { totalSteps: epochs * steps });
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const progress = startProgress(`  epoch ${epoch} of ${epochs}`, steps);
    let meanLoss = 0;
    for (const [step, selection] of (await shuffled(data.size, batchSize)).entries()) {
      using loss = tidy(() => {
        const { images, labels } = data.batch(selection);
        const loss = nn.functional.crossEntropy(model.forward(images), labels);
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss;
      });
      schedule.step();
      if (step % STEPS_BETWEEN_READS === 0) {
        const share = 1 / (step / STEPS_BETWEEN_READS + 1);
        meanLoss += (Number((await loss.data())[0]) - meanLoss) * share;
      }
      progress.step(`loss ${meanLoss.toFixed(4)}`);
    }
    progress.done(`loss ${meanLoss.toFixed(4)}`);
  }
}

/** Shows a quantized model some training images, so that it records the ranges of its activations. */
export async function calibrate(model: nn.Module, data: Dataset, options: { batches: number; batchSize: number }): Promise<void> {
  model.eval();
  const selections = (await shuffled(data.size, options.batchSize)).slice(0, options.batches);
  const progress = startProgress('  calibration', selections.length);
  await calibration(async () => {
    for (const selection of selections) {
      using logits = noGrad(() => tidy(() => model.forward(data.batch(selection).images)));
      await logits.data();
      progress.step();
    }
  });
  progress.done(`${selections.length} batches of ${options.batchSize} training images`);
}
