// Loads a frozen model and prints by how much memory grew at most. A process's peak never goes down, so each mode has a process of its own.
//   write FOLDER LAYERS WIDTH    saves the model
//   load FOLDER LAYERS WIDTH     prints { fileBytes, residentBytes, accountedBytes }
import { statSync } from 'node:fs';
import { join } from 'node:path';

import { freeze, loadQuantized, memory, nn, quantize, saveQuantized, synchronize } from '../../lib';

const [mode, folder, layers, width] = process.argv.slice(2);
const build = () => new nn.Sequential(...Array.from({ length: Number(layers) }, () => new nn.Linear(Number(width), Number(width))));

async function write(): Promise<void> {
  const model = quantize(build(), { weights: 'qint8' });
  freeze(model);
  await saveQuantized(model, folder);
}

async function load(): Promise<void> {
  const model = build();
  // Held, so that memory freed for the float weights does not hide what loading takes.
  const floats = model.parameters();
  synchronize();
  const before = { resident: process.resourceUsage().maxRSS * 1024, accounted: memory().peakBytes };
  await loadQuantized(model, folder);
  synchronize();
  const report = {
    fileBytes: statSync(join(folder, 'model.safetensors')).size,
    residentBytes: process.resourceUsage().maxRSS * 1024 - before.resident,
    accountedBytes: memory().peakBytes - before.accounted,
    heldTensors: floats.length,
  };
  console.log(JSON.stringify(report));
}

void (mode === 'write' ? write() : load());
