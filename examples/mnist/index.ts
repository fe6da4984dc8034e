// The whole workflow on MNIST: float model -> quantize -> calibrate -> tune -> freeze -> save -> load in a new process.
//   npm run demo                 all 60,000 + 10,000 images
//   npm run demo -- --quick      a tenth of them
//   npm run demo -- --help       all options
// Exits with code 1 when the run misses one of its targets.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { program } from 'commander';
import { deviceInfo, manualSeed, version } from 'quanto';
import { loadMnist } from './dataset';
import { DEFAULT_BATCH_SIZE, positiveInteger } from './options';
import { check, table, type Targets } from './report';
import { workflow } from './workflow';

interface Options {
  quick?: true;
  images?: number;
  device: string;
  epochs?: number;
  batch: number;
  seed: number;
  out?: string;
  json?: string;
}

interface Plan {
  trainImages: number;
  testImages: number;
  epochs: number;
  targets: Targets;
}

const full: Plan = {
  trainImages: 60_000,
  testImages: 10_000,
  epochs: 6,
  targets: { floatAccuracy: 98, calibratedLoss: 0.5, tunedLoss: 0.2 },
};
// One of 1,000 test images is 0.1 points.
const quick: Plan = {
  trainImages: 6_000,
  testImages: 1_000,
  epochs: 4,
  targets: { floatAccuracy: 88, calibratedLoss: 1, tunedLoss: 1 },
};

async function run(options: Options, directory: string): Promise<void> {
  const { device, batch: batchSize, seed } = options;
  const plan = options.quick ? quick : full;
  const { targets } = plan;
  const trainImages = Math.min(options.images ?? Infinity, plan.trainImages);
  const testImages = Math.min(options.images ?? Infinity, plan.testImages);
  const epochs = options.epochs ?? plan.epochs;
  const { cpu, threads } = deviceInfo();
  console.log(`quanto ${version} on ${device} (${cpu}, ${threads} threads), seed ${seed}`);
  console.log(`MNIST: ${trainImages} training images, ${testImages} test images\n`);

  manualSeed(seed);
  const [trainData, testData] = await Promise.all([loadMnist('train', trainImages, device), loadMnist('test', testImages, device)]);
  const steps = await workflow({ trainData, testData, device, epochs, batchSize, directory });
  // A handful of images shows that the workflow runs, not how well a model learns.
  const checks = options.images === undefined ? check(steps, targets) : [];

  console.log(`\n${table(steps, batchSize)}\n`);
  for (const { passed, text } of checks) console.log(`${passed ? 'pass' : 'FAIL'}  ${text}`);
  if (options.out !== undefined) console.log(`\nThe models are in ${directory}.`);
  if (options.json !== undefined) {
    const figures = { version, device, cpu, threads, seed, trainImages, testImages, epochs, batchSize, targets, steps, checks };
    await writeFile(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  const missed = checks.filter(({ passed }) => !passed).length;
  if (missed > 0) throw new Error(`The demo missed ${missed} of its ${checks.length} targets (marked FAIL above).`);
}

program
  .name('npm run demo --')
  .description('Trains a small network on MNIST, quantizes it to 8 bits, and shows what that changes.')
  .option('--quick', 'a tenth of the images and fewer epochs, with looser targets')
  .option('--images <n>', 'at most so many images of each kind, without targets', positiveInteger)
  .option('--device <name>', 'where the model runs', 'cpu')
  .option('--epochs <n>', `epochs of float training (default: ${full.epochs}, with --quick ${quick.epochs})`, positiveInteger)
  .option('--batch <n>', 'images in a batch', positiveInteger, DEFAULT_BATCH_SIZE)
  .option('--seed <n>', 'seed of all random numbers', positiveInteger, 1)
  .option('--out <directory>', 'keep the saved models here')
  .option('--json <file>', 'write the figures as JSON')
  .action(async (options: Options) => {
    const directory = options.out ?? (await mkdtemp(join(tmpdir(), 'quanto-mnist-')));
    try {
      await mkdir(directory, { recursive: true });
      await run(options, directory);
    } finally {
      if (options.out === undefined) await rm(directory, { recursive: true });
    }
  });

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
