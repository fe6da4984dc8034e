// For a machine with a GPU: every case of the case table, the reference fixtures where they lie beside the checkout, models there and back,
// and the workflow on MNIST, on the real device. Writes one JSON file.
//   npm run build:cuda && npm run test:cuda
//   npm run test:cuda -- --images 600      the workflow on so many images
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { examination } from '../lib/doctor';
import { isAvailable } from '../lib/tensor/device';
import { childReport } from '../test/harness/child';
import { runFixtures } from '../test/harness/fixture-run';
import { fixtureCases } from '../test/harness/fixtures';

const root = join(__dirname, '..');

interface Table {
  readonly checks: number;
  readonly failures: string[];
}

/** The demo's own report; it exits with 1 when it misses a target. */
function workflow(images: string | undefined): { status: number | null; report: unknown } {
  const json = join(root, 'build/test-cuda-mnist.json');
  const size = images === undefined ? [] : ['--images', images, '--batch', '4', '--epochs', '1'];
  const command = ['-r', 'ts-node/register', join(root, 'examples/mnist/index.ts'), '--quick', '--device', 'cuda', '--json', json, ...size];
  const { status } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
  return { status, report: status === null ? null : JSON.parse(readFileSync(json, 'utf8')) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { images: { type: 'string' } } });
  const { available, reason } = isAvailable('cuda');
  if (!available) throw new Error(`no cuda device to test: ${reason ?? ''}`);
  const children = join(root, 'test/cuda/children');
  const table = await childReport<Table>(join(children, 'table.ts'), ['threads'], { timeout: 1800 });
  const models = await childReport<Record<string, unknown>>(join(children, 'models.ts'), [], { timeout: 600 });
  const fixtures = fixtureCases(1).length > 0 ? await runFixtures('cuda', {}) : { passed: 0, failures: [] };
  const mnist = workflow(values.images);
  const { passed, failures } = fixtures;
  const machine = Object.fromEntries(examination());
  const file = join(root, 'build/test-cuda.json');
  writeFileSync(file, `${JSON.stringify({ machine, table, models, fixtures: { passed, failures }, mnist }, null, 2)}\n`);
  const failed = table.failures.length + failures.length;
  console.log(
    `${table.checks + passed + failures.length} checks, ${failed} failures, the workflow ended with ${mnist.status}; see ${file}`,
  );
  if (failed > 0 || mnist.status !== 0) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
