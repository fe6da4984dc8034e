// The workflow in one page: train a small float model, quantize, calibrate, tune, freeze, save, load. Run it after `npm ci` with
//   npx ts-node examples/quick-start.ts
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { calibration, freeze, loadQuantized, manualSeed, nn, noGrad, optim, qint8, quantize, rand, saveQuantized, tidy } from 'quanto';

const createModel = () =>
  new nn.Sequential(new nn.Linear(2, 128), new nn.ReLU(), new nn.Linear(128, 128), new nn.ReLU(), new nn.Linear(128, 1));

// A function to learn: y = sin(a) * b for a and b from -2 to 2.
manualSeed(1);
const inputs = rand([1024, 2]).mul(4).sub(2);
const targets = inputs
  .slice(1, 0, 1)
  .sin()
  .mul(inputs.slice(1, 1, 2));

async function train(model: nn.Module, steps: number, lr: number): Promise<void> {
  using optimizer = new optim.AdamW(model.parameters(), { lr });
  for (let step = 1; step <= steps; step++) {
    using loss = tidy(() => {
      optimizer.zeroGrad();
      const loss = nn.functional.mseLoss(model.forward(inputs), targets);
      loss.backward();
      optimizer.step();
      return loss;
    });
    if (step % 50 === 0) console.log(`  step ${step}: loss ${loss.item()}`);
  }
}

const error = (model: nn.Module) => noGrad(() => tidy(() => nn.functional.mseLoss(model.forward(inputs), targets).item()));

async function main(): Promise<void> {
  const model = createModel();
  console.log('train in float');
  await train(model, 300, 1e-2);
  console.log(`float:      mean squared error ${error(model)}`);

  quantize(model, { weights: qint8, activations: qint8 }); //     1. weights are quantized on the fly
  calibration(() => noGrad(() => model.forward(inputs))); //      2. record the ranges of activations
  console.log(`calibrated: mean squared error ${error(model)}`);

  console.log('tune');
  await train(model, 100, 1e-3); //                               3. an ordinary training loop
  console.log(`tuned:      mean squared error ${error(model)}`);

  freeze(model); //                                               4. integer weights replace the float ones
  const directory = join(tmpdir(), 'quanto-quick-start');
  await saveQuantized(model, directory);
  const loaded = await loadQuantized(createModel(), directory);
  console.log(`loaded:     mean squared error ${error(loaded)}, from ${directory}`);
}

void main();
