// Starts workers and lets them end in many ways: workers.ts HOW ROUNDS. Prints how each ended.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { add, ones } from '../../../lib/ops';

const [how, rounds] = process.argv.slice(2);
const workersAtOnce = 4;

interface Outcome {
  messages: unknown[];
  exitCode: number;
  error?: string;
}

function run(index: number): Promise<Outcome> {
  const worker = new Worker(join(__dirname, 'worker-body.ts'), {
    workerData: { how },
    execArgv: ['-r', join(__dirname, '../../harness/register.cjs')],
  });
  const outcome: Outcome = { messages: [], exitCode: -1 };
  worker.on('error', (error: Error) => (outcome.error = error.message));
  worker.on('message', (message: unknown) => {
    outcome.messages.push(message);
    // At different points of the work: while it is issued, while it runs, while it is read.
    if (message === 'started') setTimeout(() => void worker.terminate(), 10 + 40 * index);
  });
  return new Promise((resolve) => worker.on('exit', (exitCode) => resolve({ ...outcome, exitCode })));
}

async function main(): Promise<void> {
  const outcomes: Outcome[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    outcomes.push(...(await Promise.all(Array.from({ length: workersAtOnce }, (_, index) => run(index)))));
  }
  const alive = [...(await add(ones([2]), 1).data())];
  console.log(JSON.stringify({ outcomes, alive }));
}

if (how === 'main exits') {
  const worker = new Worker(join(__dirname, 'worker-body.ts'), {
    workerData: { how: 'reading' },
    execArgv: ['-r', join(__dirname, '../../harness/register.cjs')],
  });
  worker.on('message', () => setTimeout(() => process.exit(6), 50));
} else {
  void main();
}
