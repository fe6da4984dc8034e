// For a machine with a GPU: every case of the case table, and models there and back, on the real device. Writes one JSON file.
//   npm run build:cuda && npm run test:cuda
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { examination } from '../lib/doctor';
import { isAvailable } from '../lib/tensor/device';
import { childReport } from '../test/harness/child';

interface Table {
  readonly checks: number;
  readonly failures: string[];
}

async function main(): Promise<void> {
  const { available, reason } = isAvailable('cuda');
  if (!available) throw new Error(`no cuda device to test: ${reason ?? ''}`);
  const children = join(__dirname, '../test/cuda/children');
  const table = await childReport<Table>(join(children, 'table.ts'), ['threads'], { timeout: 1800 });
  const models = await childReport<Record<string, unknown>>(join(children, 'models.ts'), [], { timeout: 600 });
  const file = join(__dirname, '../build/test-cuda.json');
  writeFileSync(file, `${JSON.stringify({ machine: Object.fromEntries(examination()), table, models }, null, 2)}\n`);
  console.log(`${table.checks} checks, ${table.failures.length} failures; the results are in ${file}`);
  if (table.failures.length > 0) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
