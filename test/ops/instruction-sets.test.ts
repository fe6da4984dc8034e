import { execFile, spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';

const root = resolve(__dirname, '../..');
const levels = ['ref', 'avx2', 'avxvnni', 'avx512', 'vnni', 'amx', 'neon', 'dotprod'];

/** What the addon says of itself when it is capped at a level; null where the machine lacks that level, which it refuses. */
function capped(level: string): string | null {
  const program = "process.stdout.write(require('node-gyp-build')('.').cpuDescription())";
  const probe = spawnSync(process.execPath, ['--eval', program], {
    cwd: root,
    env: { ...process.env, QUANTO_ISA: level },
    encoding: 'utf8',
  });
  return probe.status === 0 ? probe.stdout : null;
}

const present = levels.flatMap((level) => {
  const description = capped(level);
  return description === null ? [] : [{ level, description }];
});

test('this machine has the reference level and says which it runs', () => {
  expect(present[0].level).toBe('ref');
  for (const { level, description } of present) expect(description).toMatch(new RegExp(`^isa=${level};`));
});

// The highest level is what every other test runs on.
test.concurrent.each(present.slice(0, -1))('the case table holds with QUANTO_ISA=$level', async ({ level }) => {
  const elsewhere = 'transposed,expanded,gradient strided,empty,threads,arguments';
  const args = ['--require', 'ts-node/register/transpile-only', 'test/harness/run-table.ts', '', elsewhere];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    env: { ...process.env, QUANTO_ISA: level },
    maxBuffer: 1 << 26,
  });
  const lines = stdout.trim().split('\n');
  const { checks, failures } = JSON.parse(lines.pop() ?? '{}') as { checks: number; failures: number };
  expect(lines).toEqual([]);
  expect(failures).toBe(0);
  expect(checks).toBeGreaterThan(1000);
});
