// How late timers are while a model runs under `await`: npx ts-node scripts/event-loop-delay.ts [seconds]
// A 5 ms interval ticks beside forwards of about 500 ms (a stack of linear layers, float32); prints percentiles of its delays.
import { performance } from 'node:perf_hooks';

import { linear, relu, uniform } from '../lib/ops';
import { getNumThreads } from '../lib/tensor/device';
import { noGrad } from '../lib/tensor/grad-mode';
import { tidy } from '../lib/tensor/scope';

const INTERVAL = 5; // ms
const FORWARD = 500; // ms

const weights = Array.from({ length: 8 }, () => uniform([1024, 1024], -0.05, 0.05));
const input = uniform([1024, 1024], 0, 1);

/** Issues the whole forward at once and waits for its values. */
async function forward(repeats: number): Promise<void> {
  const output = noGrad(() =>
    tidy(() => {
      let x = input;
      for (let i = 0; i < repeats; i++) for (const weight of weights) x = relu(linear(x, weight));
      return x;
    }),
  );
  await output.data();
  output.dispose();
}

async function timed(body: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await body();
  return performance.now() - start;
}

async function measure(repeats: number, seconds: number): Promise<{ delays: number[]; forwards: number[] }> {
  const delays: number[] = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    delays.push(Math.max(0, now - last - INTERVAL));
    last = now;
  }, INTERVAL);
  const forwards: number[] = [];
  for (const end = performance.now() + seconds * 1000; performance.now() < end;) forwards.push(await timed(() => forward(repeats)));
  clearInterval(timer);
  return { delays, forwards };
}

const percentile = (values: readonly number[], p: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor((values.length * p) / 100))];

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 5);
  await forward(1);
  const once = await timed(() => forward(2));
  const repeats = Math.max(1, Math.round((FORWARD / once) * 2));
  const { delays, forwards } = await measure(repeats, seconds);
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  console.log(`${forwards.length} forwards of ${ms(percentile(forwards, 50))}, ${getNumThreads()} threads, ${delays.length} ticks`);
  console.log(
    `delay of a ${INTERVAL} ms timer: p50 ${ms(percentile(delays, 50))}, p99 ${ms(percentile(delays, 99))}, max ${ms(Math.max(...delays))}`,
  );
}
void main();
