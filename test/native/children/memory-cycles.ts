// Builds a small network, runs it, drops it, 1,000 times, and compares what is held early and late.
import { full, matmul, relu, uniform } from '../../../lib/ops';
import { emptyCache, memory } from '../../../lib/tensor/device';

function usage(): { rss: number; bytes: number; tensors: number } {
  globalThis.gc!();
  emptyCache();
  const { bytes, tensors } = memory();
  return { rss: process.memoryUsage.rss() / 2 ** 20, bytes, tensors };
}

async function cycle(): Promise<void> {
  const weights = Array.from({ length: 4 }, () => uniform([256, 256], -0.1, 0.1));
  let x = full([32, 256], 1);
  for (const weight of weights) x = relu(matmul(x, weight));
  await x.data();
}

async function main(): Promise<void> {
  // Garbage is collected at even intervals, so that only what is never freed adds up.
  const hundredCycles = async () => {
    for (let i = 1; i <= 100; i++) {
      await cycle();
      if (i % 25 === 0) usage();
    }
    return usage();
  };
  const early = await hundredCycles();
  for (let i = 0; i < 8; i++) await hundredCycles();
  console.log(JSON.stringify({ early, late: await hundredCycles() }));
}
void main();
