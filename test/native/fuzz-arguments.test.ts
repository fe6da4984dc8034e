// Random arguments for every native function, in a process of its own: it must live, and only QuantoErrors may come out.
import { join } from 'node:path';

import { childReport, sanitized } from '../harness/child';

interface Report {
  calls: number;
  returned: number;
  refused: number;
  wrong: string[];
  alive: number[];
}

const calls = 10_000;

test.each([1, 2, 3])('seed %i', async (seed) => {
  const options = { environment: { FUZZ_VERBOSE: '0' }, addressSpace: sanitized ? undefined : 8192 };
  const report = await childReport<Report>(join(__dirname, 'children/fuzz-arguments.ts'), [String(seed), String(calls)], options);
  expect(report.wrong).toEqual([]);
  expect(report.alive).toEqual([3, 3]);
  // Neither are all arguments nonsense, nor are they all right.
  expect(report.returned).toBeGreaterThan(calls / 10);
  expect(report.refused).toBeGreaterThan(calls / 10);
});
