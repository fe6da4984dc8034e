// Loading a frozen model as a contestant. The model is written by a process of its own, and the peak of memory is taken in one that does
// nothing but load, because a process's peak never goes down.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeze, loadQuantized, nn, noGrad, ones, quantize, saveQuantized, synchronize, tidy, version } from 'quanto';

import type { Workload } from '../harness/protocol';
import { type Prepared, serve } from './serve';

const build = (layers: number, width: number) => new nn.Sequential(...Array.from({ length: layers }, () => new nn.Linear(width, width)));

async function loadAndRun(folder: string, layers: number, width: number): Promise<void> {
  const model = (await loadQuantized(build(layers, width), folder)).eval();
  using output = noGrad(() => tidy(() => model.forward(ones([1, width]))));
  await output.data();
  for (const state of Object.values(model.stateDict())) state.dispose();
}

async function write(folder: string, layers: number, width: number): Promise<void> {
  const model = quantize(build(layers, width), { weights: 'qint8' });
  freeze(model);
  await saveQuantized(model, folder);
}

/** By how much loading raises the peak of resident memory, in bytes. The float model is there before and stays: its memory is not counted. */
async function peak(folder: string, layers: number, width: number): Promise<number> {
  const model = build(layers, width);
  const floats = model.parameters();
  synchronize();
  const before = process.resourceUsage().maxRSS;
  await loadQuantized(model, folder);
  synchronize();
  const grown = (process.resourceUsage().maxRSS - before) * 1024;
  for (const float of floats) float.dispose();
  return grown;
}

const child = (...args: string[]) =>
  execFileSync(process.execPath, ['-r', 'ts-node/register/transpile-only', __filename, ...args], { encoding: 'utf8' });

function prepare({ layers, width }: Workload, run: (folder: string, layers: number, width: number) => Promise<unknown>): Prepared {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-load-'));
  const sizes = [layers, width] as [number, number];
  child('write', folder, ...sizes.map(String));
  const fileBytes = statSync(join(folder, 'model.safetensors')).size;
  const peakBytes = Number(child('peak', folder, ...sizes.map(String)));
  return {
    run: () => run(folder, ...sizes),
    facts: { fileBytes, peakBytes, peakOverFile: peakBytes / fileBytes },
    dispose: () => {
      rmSync(folder, { recursive: true });
    },
  };
}

const [, , task, folder, layers, width] = process.argv;
if (task === 'write') void write(folder, Number(layers), Number(width));
else if (task === 'peak') void peak(folder, Number(layers), Number(width)).then((bytes) => process.stdout.write(String(bytes)));
else {
  void serve(
    {
      load: (workload) => prepare(workload, loadAndRun),
      read: (workload) => prepare(workload, (folder) => readFile(join(folder, 'model.safetensors'))),
    },
    { quanto: version },
  );
}
