// The case table on the emulated device, and what is left in its memory afterwards.
import { deviceMemory, emptyCache, synchronize } from '../../../lib/tensor/device';
import { cases } from '../../cases';
import { checksOf } from '../../harness/case';
import { collectGarbage } from '../../harness/garbage';

const skipped = process.argv[2].split(',');
const failures: string[] = [];
let checks = 0;

async function main(): Promise<void> {
  for (const row of cases) {
    for (const { mode, run } of checksOf(row)) {
      if (skipped.includes(mode)) continue;
      checks++;
      try {
        run('cuda');
      } catch (error) {
        failures.push(`${row.family} ${row.name} ${mode}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  synchronize();
  await collectGarbage();
  emptyCache();
  process.stdout.write(JSON.stringify({ checks, failures, left: deviceMemory('cuda') }));
}

void main();
