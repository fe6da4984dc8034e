import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { addonPath } from '../harness/addon';
import { childReport, sanitized } from '../harness/child';

const levels = ['ref', 'avx2', 'avxvnni', 'avx512', 'vnni', 'amx', 'neon', 'dotprod'];

/** What the addon says of itself when it is capped at a level; null where the machine lacks that level, which it refuses. */
function capped(level: string): string | null {
  const program = 'process.stdout.write(require(process.argv[1]).cpuDescription())';
  const environment = { ...process.env, QUANTO_ISA: level };
  const { status, stdout } = spawnSync(process.execPath, ['--eval', program, addonPath], { env: environment, encoding: 'utf8' });
  return status === 0 ? stdout : null;
}

const present = levels.flatMap((level) => {
  const description = capped(level);
  return description === null ? [] : [{ level, description }];
});

test('this machine has the reference level, and says which level it runs', () => {
  expect(present[0].level).toBe('ref');
  for (const { level, description } of present) expect(description).toMatch(new RegExp(`^isa=${level};`));
});

interface Report {
  readonly checks: number;
  readonly failures: string[];
}

// The highest level is what every other test runs on. A sanitizer slows the references down, and finds what it can there.
const others = present.slice(0, sanitized ? 1 : -1);

test.concurrent.each(others)(
  'the case table holds with QUANTO_ISA=$level',
  async ({ level }) => {
    const elsewhere = 'transposed,expanded,gradient strided,empty,threads,arguments';
    const { checks, failures } = await childReport<Report>(join(__dirname, '../harness/run-table.ts'), [elsewhere], {
      environment: { QUANTO_ISA: level },
      timeout: 300,
    });
    expect(failures).toEqual([]);
    expect(checks).toBeGreaterThan(1000);
  },
  310_000,
);
