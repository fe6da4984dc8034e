import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Device, freeze, type nn, qint8, quantize, saveQuantized, saveSafetensors } from 'quanto';
import type { Dataset } from './dataset';
import { type Figures, liveBytes, measure } from './measure';
import { createModel } from './model';
import { descriptions, percent, type Step } from './report';
import { calibrate, train } from './train';

export interface Settings {
  trainData: Dataset;
  testData: Dataset;
  device: Device;
  /** Of the float training. */
  epochs: number;
  batchSize: number;
  /** Where the models are saved. */
  directory: string;
}

/** What load-frozen.ts prints. */
export interface Loaded {
  milliseconds: number;
  figures: Figures;
}

const LEARNING_RATE = 1e-3;
const TUNING_RATE = 1e-4;
const CALIBRATION_BATCHES = 40;

/** Takes a model through all steps and measures it after each. */
export async function workflow(settings: Settings): Promise<Step[]> {
  const { trainData, testData, device, epochs, batchSize, directory } = settings;
  const bytesBefore = await liveBytes();
  const model = createModel().to(device);
  const frozen = join(directory, 'frozen');

  const steps: Step[] = [];
  const record = (step: Step) => {
    steps.push(step);
    console.log(`  ${percent(step.accuracy)} of the test images recognized`);
  };
  const step = async (name: Step['name'], act: () => unknown) => {
    console.log(descriptions[name].action);
    const started = performance.now();
    await act();
    const milliseconds = performance.now() - started;
    const figures = await measure(model, testData, batchSize, bytesBefore);
    record({ name, milliseconds, fileBytes: await saveState(model, join(directory, `${name}.safetensors`)), ...figures });
  };

  await step('float', () => train(model, trainData, { epochs, batchSize, learningRate: LEARNING_RATE }));
  await step('quantized', () => quantize(model, { weights: qint8, activations: qint8 }));
  await step('calibrated', () => calibrate(model, trainData, { batches: CALIBRATION_BATCHES, batchSize }));
  await step('tuned', () => train(model, trainData, { epochs: 1, batchSize, learningRate: TUNING_RATE }));
  await step('frozen', () => freeze(model));

  console.log(descriptions.loaded.action);
  await saveQuantized(model, frozen);
  const { milliseconds, figures } = await loadInNewProcess(frozen, settings);
  record({ name: 'loaded', milliseconds, fileBytes: (await stat(join(frozen, 'model.safetensors'))).size, ...figures });
  return steps;
}

/** Saves the state of a model and gives the size of the file. */
async function saveState(model: nn.Module, file: string): Promise<number> {
  const state = model.stateDict();
  await saveSafetensors(file, state);
  // They share the model's which would outlive `freeze` with them.
  for (const tensor of Object.values(state)) tensor.dispose();
  return (await stat(file)).size;
}

async function loadInNewProcess(directory: string, { testData, batchSize, device }: Settings): Promise<Loaded> {
  const script = join(__dirname, 'load-frozen.ts');
  const options = ['--batch', batchSize, '--test', testData.size, '--device', device].map(String);
  // The arguments of this process include what makes Node run TypeScript.
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, script, directory, ...options]);
  return JSON.parse(stdout) as Loaded;
}
