// Loads a model that the demo saved, in a process of its own, measures it and prints the figures as JSON. The demo runs it; by hand:
//   npm run demo -- --out models
//   npx ts-node examples/mnist/load-frozen.ts models/frozen
import { program } from 'commander';
import { loadQuantized } from 'quanto';
import { loadMnist } from './dataset';
import { liveBytes, measure } from './measure';
import { createModel } from './model';
import { DEFAULT_BATCH_SIZE, positiveInteger } from './options';
import type { Loaded } from './workflow';

program
  .argument('<directory>', 'what saveQuantized wrote')
  .option('--batch <n>', 'images in a batch', positiveInteger, DEFAULT_BATCH_SIZE)
  .option('--test <n>', 'number of test images', positiveInteger, 10_000)
  .option('--device <name>', 'where the model runs', 'cpu')
  .action(async (directory: string, options: { batch: number; test: number; device: string }) => {
    const testData = await loadMnist('test', options.test, options.device);
    const bytesBefore = await liveBytes();
    const model = createModel().to(options.device);
    const started = performance.now();
    await loadQuantized(model, directory);
    const milliseconds = performance.now() - started;
    const loaded: Loaded = { milliseconds, figures: await measure(model, testData, options.batch, bytesBefore) };
    console.log(JSON.stringify(loaded));
  });

program.parseAsync().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
