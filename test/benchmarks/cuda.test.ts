// The benchmark for a GPU, end to end under the emulator, whose times say nothing: no figure but those made from given times is asserted.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Card, copyRate } from '../../benchmarks/cuda/card';
import { cudaBenchmarks, kinds } from '../../benchmarks/cuda/cases';
import type { CudaResult } from '../../benchmarks/cuda';
import { figureOf } from '../../benchmarks/cuda/roofline';

const root = join(__dirname, '../..');

/** Runs it as `npm run bench:cuda` does. */
function run(args: readonly string[], environment: Record<string, string>): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const command = ['-r', 'ts-node/register/transpile-only', join(root, 'benchmarks/cuda/index.ts'), ...args];
  const env = { ...process.env, QUANTO_CUDA_EMULATE: '1', ...environment };
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: root, env }, (error, stdout, stderr) => {
      resolve({ status: error?.code ?? 0, stdout, stderr });
    });
  });
}

test('--quick times every case under the emulator, and says that it was emulated', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-bench-'));
  const json = join(folder, 'new/result.json');
  const { status, stdout, stderr } = await run(['--quick', '--json', json], {});
  expect({ status, stderr }).toMatchObject({ status: 0 });
  expect(stdout).toMatch(/EMULATED on a CPU/);
  const result = JSON.parse(readFileSync(json, 'utf8')) as CudaResult;
  rmSync(folder, { recursive: true });
  expect(result).toMatchObject({ emulated: true, quick: true, device: 'cuda:0' });
  expect(result.machine.doctor.join('\n')).toMatch(/^cuda +driver: CUDA .*; devices: .*emulated device.*; cuBLASLt/m);
  const limits = [...Object.values(result.card.tops), ...result.card.copies.map(({ gbs }) => gbs)];
  expect(limits).toHaveLength(5);
  const wanted = cudaBenchmarks('cuda:0', true);
  expect(result.benchmarks.map(({ name }) => name)).toEqual(wanted.map(({ name }) => name));
  for (const [i, { results, figures, versions }] of result.benchmarks.entries()) {
    expect(versions).toHaveProperty('quanto');
    expect(results.map(({ parameters }) => parameters)).toEqual(wanted[i].cases.map(({ parameters }) => parameters));
    for (const [j, { absent, timings }] of results.entries()) {
      expect(absent).toEqual({});
      expect(figures[j].map(({ contestant }) => contestant)).toEqual(Object.keys(kinds).map((name) => `quanto ${name}`));
      limits.push(
        ...timings.flatMap(({ samples }) => samples),
        ...figures[j].flatMap(({ tops, gbs, ofRoofline }) => [tops, gbs, ofRoofline]),
      );
    }
  }
  expect(limits.filter((value) => !(value > 0 && value < Infinity))).toEqual([]);
}, 120_000);

test('without a GPU it ends with the reason', async () => {
  const { status, stderr } = await run(['--quick'], { QUANTO_CUDA_EMULATE_ERROR: '100' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^DEVICE_UNAVAILABLE \[device\] cuda:0 is not available: the NVIDIA driver finds no GPU/);
});

test('the emulator does not run the large shapes', async () => {
  const { status, stderr } = await run([], {});
  expect(status).toBe(1);
  expect(stderr).toMatch(/^NOT_SUPPORTED .* pass --quick/);
});

test('figures are shares of what the card has shown', () => {
  const card: Card = {
    tops: { int8: 1000, float16: 500, bfloat16: 500, float32: 50 },
    copies: [
      { bytes: 1e6, gbs: 8000 },
      { bytes: 1e9, gbs: 2000 },
    ],
    samples: {},
  };
  expect(copyRate(card, 2e6)).toBe(8000);
  expect(copyRate(card, 1e9)).toBe(2000);
  // 4 * 10^11 operations and 10^9 bytes in a millisecond: 400 TOPS, 1000 GB/s.
  const figure = figureOf('quanto W8A8', 1, 4e11, 1e9, card, 'int8');
  expect(figure).toMatchObject({ tops: 400, ofPeak: 0.4, gbs: 1000, ofCopy: 0.5, ofRoofline: 0.5 });
});

test('bytes are those of weights, input and output', () => {
  const [linear] = cudaBenchmarks('cuda', false);
  const { bytesOf, operations } = linear.cases.find(({ parameters: { k, n, m } }) => k === 4096 && n === 14336 && m === 8)!;
  expect(operations).toBe(2 * 8 * 4096 * 14336);
  expect(bytesOf(kinds.W8)).toBe(4096 * 14336 + 2 * 8 * (4096 + 14336));
});
