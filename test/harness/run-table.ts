// Runs the whole case table once, without jest, in a process of its own: `QUANTO_ISA=avx2 ts-node test/harness/run-table.ts [text in names]`.
// Prints a line for each failure and, at the end, what ran, as JSON.
import { deviceInfo } from '../../lib/tensor/device';
import { cases } from '../cases';

import { checksOf, devices } from './case';

const wanted = process.argv[2] ?? '';
const skipped = (process.argv[3] ?? '').split(',');
let checks = 0;
let failures = 0;
for (const device of devices()) {
  for (const row of cases) {
    for (const { mode, run } of checksOf(row)) {
      const name = `${row.family} ${row.name} ${mode}`;
      if (!name.includes(wanted) || skipped.includes(mode)) continue;
      checks++;
      try {
        run(device);
      } catch (error) {
        failures++;
        console.log(`FAIL ${name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}
console.log(JSON.stringify({ cpu: deviceInfo().cpu, checks, failures }));
