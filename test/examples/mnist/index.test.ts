import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Check, Step } from '../../../examples/mnist/report';
import { type Outcome, runExample } from '../run';

const demo = (...args: readonly string[]) => runExample('mnist/index.ts', ...args);

describe('the quick demo', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-demo-'));
  let outcome: Outcome;
  let figures: { steps: Step[]; checks: Check[]; trainImages: number };

  beforeAll(async () => {
    outcome = await demo('--quick', '--json', join(folder, 'figures.json'), '--out', folder);
    figures = JSON.parse(readFileSync(join(folder, 'figures.json'), 'utf8')) as typeof figures;
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  test('succeeds and prints its table, without bars where there is no terminal', () => {
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/│ Model +│ Test accuracy │ vs\. float │ File size │ +Memory │ Per batch of 128 │ Step took │/);
    expect(outcome.stdout).toContain('epoch 4 of 4');
    expect(outcome.stdout).not.toMatch(/[█\x1b]/);
  });

  test('measures every step, and the reloaded model is the frozen one bit for bit', () => {
    const { steps, checks, trainImages } = figures;
    expect(trainImages).toBe(6000);
    expect(steps.map(({ name }) => name)).toEqual(['float', 'quantized', 'calibrated', 'tuned', 'frozen', 'loaded']);
    expect(checks.map(({ passed }) => passed)).toEqual([true, true, true, true]);
    expect(steps[5].logitsHash).toBe(steps[4].logitsHash);
    expect(steps[5].logitsHash).not.toBe(steps[0].logitsHash);
    expect(steps[5].accuracy).toBe(steps[4].accuracy);
  });

  test('freezing and loading leave about a quarter of the memory and of the file', () => {
    const [float, , , tuned, frozen, loaded] = figures.steps;
    // An evaluation keeps the integer weights beside the float ones until these are written to.
    expect(tuned.memoryBytes / float.memoryBytes).toBeCloseTo(1.25, 1);
    for (const step of [frozen, loaded]) {
      expect(step.memoryBytes / float.memoryBytes).toBeLessThan(0.27);
      expect(step.fileBytes / float.fileBytes).toBeLessThan(0.27);
    }
  });
});

test('a missed target is an error that says so', async () => {
  const { code, stdout, stderr } = await demo('--quick', '--epochs', '1', '--batch', '2000');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^FAIL {2}The float model recognizes at least/m);
  expect(stderr).toMatch(/^The demo missed \d of its 4 targets \(marked FAIL above\)\.$/m);
}, 300_000);

test('a device that is not there gives one clear line', async () => {
  const { code, stderr } = await demo('--quick', '--device', 'abacus');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^.*abacus.*\n$/);
});

test('--help names every option', async () => {
  const { code, stdout } = await demo('--help');
  expect(code).toBe(0);
  for (const option of ['--quick', '--device', '--epochs', '--batch', '--seed', '--out', '--json']) expect(stdout).toContain(option);
});
