// Runs the whole case table once, without jest, in a process of its own, and prints what ran and what failed as JSON:
//   QUANTO_ISA=avx2 node -r ./test/harness/register.cjs test/harness/run-table.ts [modes to leave out] [text in names]
import { cases } from '../cases';

import { checksOf, devices } from './case';

const skipped = (process.argv[2] ?? '').split(',');
const wanted = process.argv[3] ?? '';
const failures: string[] = [];
let checks = 0;
for (const device of devices()) {
  for (const row of cases) {
    for (const { mode, run } of checksOf(row)) {
      const name = `${row.family} ${row.name} ${mode}`;
      if (!name.includes(wanted) || skipped.includes(mode)) continue;
      checks++;
      try {
        run(device);
      } catch (error) {
        failures.push(`${name} on ${device}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}
process.stdout.write(JSON.stringify({ checks, failures }, null, 1));
