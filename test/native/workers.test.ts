// worker_threads: each has a stream of its own and ends cleanly, whatever it is doing.
import { join } from 'node:path';

import { childReport, runChild } from '../harness/child';

interface Outcome {
  messages: unknown[];
  exitCode: number;
  error?: string;
}
interface Report {
  outcomes: Outcome[];
  alive: number[];
}

const program = join(__dirname, 'children/workers.ts');
const run = (how: string, rounds: number): Promise<Report> => childReport(program, [how, String(rounds)], { timeout: 100 });

test('four workers run models at once, 100 times each, with equal results', async () => {
  const { outcomes, alive } = await run('models', 1);
  expect(outcomes).toHaveLength(4);
  expect(outcomes.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
  // Each worker saw one result a hundred times, and it is the same one.
  const seen = outcomes.flatMap(({ messages }) => messages.flat());
  expect(seen).toHaveLength(4);
  expect(new Set(seen).size).toBe(1);
  expect((JSON.parse(String(seen[0])) as number[]).every(Number.isFinite)).toBe(true);
  expect(alive).toEqual([2, 2]);
});

test.each([
  ['busy', 1],
  ['reading', 1],
  ['exit', 5],
  ['idle', 0],
])('workers that end by %s', async (how, exitCode) => {
  const { outcomes, alive } = await run(how, 3);
  expect(outcomes).toHaveLength(12);
  expect(outcomes.map((outcome) => outcome.exitCode)).toEqual(Array(12).fill(exitCode));
  expect(alive).toEqual([2, 2]);
});

test('workers that throw', async () => {
  const { outcomes } = await run('throw', 2);
  expect(outcomes.map(({ error, exitCode }) => [error, exitCode])).toEqual(Array(8).fill(['uncaught in a worker', 1]));
});

test('the main thread exits while a worker reads', async () => {
  const { status, signal, stderr } = await runChild(program, ['main exits'], { timeout: 30 });
  expect({ status, signal, stderr }).toEqual({ status: 6, signal: null, stderr: '' });
});
