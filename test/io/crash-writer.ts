// Run by crash.test.ts: saves tensors to a file or in shards, again and again, until it is killed.
import { saveSafetensors } from '../../lib/io/safetensors';
import { saveTensors } from '../../lib/io/sharded';
import { tensorFromBytes } from '../../lib/ops/creation';

const BYTES = 300_000;
const [kind, path] = process.argv.slice(2);

async function main(): Promise<void> {
  for (let round = 1; ; round++) {
    const bytes = new Uint8Array(BYTES).fill(round % 256);
    const tensors = Object.fromEntries([0, 1, 2, 3].map((name) => [String(name), tensorFromBytes(bytes, 'uint8', [BYTES])]));
    await (kind === 'file' ? saveSafetensors(path, tensors) : saveTensors(path, tensors, { maxShardBytes: BYTES }));
    if (round === 1) process.stdout.write('saved');
  }
}

void main();
