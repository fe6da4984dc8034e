import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { loadSafetensors } from '../../lib/io/safetensors';
import { loadTensors } from '../../lib/io/sharded';
import type { Tensor } from '../../lib/tensor/tensor';
import { temporaryFolder } from './support';

const folder = temporaryFolder();

// Saves round after round, in each round every element of every tensor the same, until it is killed.
const writer = resolve(__dirname, 'crash-writer.ts');

async function killWhileSaving(kind: 'file' | 'shards', path: string, delay: number): Promise<void> {
  const child = spawn(process.execPath, ['-r', 'ts-node/register/transpile-only', writer, kind, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // It has saved once; chance decides where the signal meets it.
  await once(child.stdout, 'data');
  await new Promise((done) => setTimeout(done, delay));
  child.kill('SIGKILL');
  await once(child, 'close');
  expect(child.signalCode).toBe('SIGKILL');
}

/** All bytes of all tensors are of one round of the writer. */
async function expectOneRound(tensors: Readonly<Record<string, Tensor>>): Promise<void> {
  const bytes = Buffer.concat(await Promise.all(Object.values(tensors).map((tensor) => tensor.bytes())));
  expect(bytes.equals(Buffer.alloc(bytes.length, bytes[0]))).toBe(true);
}

const delays = [1, 12, 31]; // milliseconds after the first save

test('a process killed while it saves a file leaves a whole file, old or new', async () => {
  await Promise.all(
    delays.map(async (delay) => {
      const path = join(folder(), `${delay}.safetensors`);
      await killWhileSaving('file', path, delay);
      const tensors = await loadSafetensors(path);
      expect(Object.keys(tensors)).toEqual(['0', '1', '2', '3']);
      await expectOneRound(tensors);
    }),
  );
});

test('a process killed while it saves shards leaves a whole model, or none that loads, but no mixture', async () => {
  await Promise.all(
    delays.map(async (delay) => {
      const path = join(folder(), `model${delay}`);
      await killWhileSaving('shards', path, delay);
      if (!(await readdir(path)).includes('model.safetensors.index.json')) {
        await expect(loadTensors(path)).rejects.toMatchObject({ code: 'IO' });
        return;
      }
      const tensors = await loadTensors(path);
      expect(Object.keys(tensors)).toEqual(['0', '1', '2', '3']);
      await expectOneRound(tensors);
    }),
  );
});
