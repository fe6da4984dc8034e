// How late timers are while a model runs under `await`: npx ts-node scripts/event-loop-delay.ts [seconds]
// A 5 ms interval ticks beside forwards of about 500 ms (a stack of linear layers, float32). Prints percentiles of its delays, beside
// those of the same timer when nothing else runs, and how long the calls of a forward take before the wait begins.
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { linear, relu, uniform } from '../lib/ops';
import { getNumThreads } from '../lib/tensor/device';
import { noGrad } from '../lib/tensor/grad-mode';
import { tidy } from '../lib/tensor/scope';

const INTERVAL = 5; // ms
const FORWARD = 500; // ms

const weights = Array.from({ length: 8 }, () => uniform([1024, 1024], -0.05, 0.05));
const input = uniform([1024, 1024], 0, 1);
const issuing: number[] = [];

/** Issues the whole forward at once and waits for its values. */
async function forward(repeats: number): Promise<void> {
  const start = performance.now();
  const output = noGrad(() =>
    tidy(() => {
      let x = input;
      for (let i = 0; i < repeats; i++) for (const weight of weights) x = relu(linear(x, weight));
      return x;
    }),
  );
  issuing.push(performance.now() - start);
  await output.data();
  output.dispose();
}

/** Delays of the timer, in ms, until the body is done. */
async function delaysDuring(body: () => Promise<unknown>): Promise<number[]> {
  const delays: number[] = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    delays.push(Math.max(0, now - last - INTERVAL));
    last = now;
  }, INTERVAL);
  await body();
  clearInterval(timer);
  return delays;
}

async function timed(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

function report(name: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (p: number): string => `${sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))].toFixed(2)} ms`;
  console.log(`${name}: p50 ${at(50)}, p99 ${at(99)}, max ${at(100)} (${sorted.length})`);
}

async function main(): Promise<void> {
  const milliseconds = Number(process.argv[2] ?? 5) * 1000;
  const alone = await delaysDuring(() => sleep(milliseconds));
  await forward(1);
  const repeats = Math.max(1, Math.round((2 * FORWARD) / (await timed(() => forward(2)))));
  issuing.length = 0;
  const forwards: number[] = [];
  const beside = await delaysDuring(async () => {
    for (const end = performance.now() + milliseconds; performance.now() < end;) forwards.push(await timed(() => forward(repeats)));
  });
  console.log(`${getNumThreads()} threads`);
  report('forward', forwards);
  report('  its calls', issuing);
  report(`delay of a ${INTERVAL} ms timer beside it`, beside);
  report('  of the same timer alone', alone);
}
void main();
