// Loads a frozen quantized network from its files, runs it and drops it, 1,000 times, and compares what is held early and late.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Linear, ReLU, Sequential } from '../../../lib/nn';
import { full } from '../../../lib/ops';
import { calibration, freeze, loadQuantized, quantize, saveQuantized } from '../../../lib/quantize';
import { emptyCache, memory } from '../../../lib/tensor/device';

const build = () => new Sequential(new Linear(256, 256), new ReLU(), new Linear(256, 256), new ReLU(), new Linear(256, 10));
const input = full([32, 256], 1);

function usage(): { rss: number; bytes: number; tensors: number } {
  globalThis.gc!();
  emptyCache();
  const { bytes, tensors } = memory();
  return { rss: process.memoryUsage.rss() / 2 ** 20, bytes, tensors };
}

async function save(folder: string): Promise<void> {
  const model = quantize(build(), { weights: 'qint8', activations: 'qint8' });
  await calibration(async () => void (await model.forward(input).data()));
  freeze(model);
  await saveQuantized(model, folder);
}

async function cycle(folder: string): Promise<void> {
  const model = await loadQuantized(build(), folder);
  await model.forward(input).data();
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-cycles-'));
  try {
    await save(folder);
    // Garbage is collected at even intervals, so that only what is never freed adds up.
    const hundredCycles = async () => {
      for (let i = 1; i <= 100; i++) {
        await cycle(folder);
        if (i % 25 === 0) usage();
      }
      return usage();
    };
    const early = await hundredCycles();
    for (let i = 0; i < 8; i++) await hundredCycles();
    console.log(JSON.stringify({ early, late: await hundredCycles() }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
void main();
