// What a worker of workers.ts does, by `workerData.how`.
import { parentPort, workerData } from 'node:worker_threads';

import { full, linear, matmul, mean, relu, softmax, tensor } from '../../../lib/ops';
import { manualSeed, randn } from '../../../lib/ops/random';
import { Parameter, type Tensor } from '../../../lib/tensor/tensor';

const { how } = workerData as { how: string };

/** A small network, forward and backward; returns numbers that depend on all of it. */
async function runModel(): Promise<number[]> {
  manualSeed(7);
  const [first, second] = [new Parameter(randn([64, 32])), new Parameter(randn([10, 64]))];
  const output = softmax(linear(relu(linear(randn([16, 32]), first)), second), -1);
  mean(matmul(output, tensor(Float32Array.from({ length: 10 }, (_, i) => i)))).backward();
  return [...(await output.data()).slice(0, 4), ...(await first.grad!.data()).slice(0, 4)].map(Number);
}

/** Some tenths of a second of queued work. */
function queueWork(): Tensor {
  const a = full([512, 512], 1 / 512);
  let product = a;
  for (let i = 0; i < 100; i++) product = matmul(product, a);
  return product;
}

const bodies: Record<string, () => unknown> = {
  models: async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 100; i++) seen.add(JSON.stringify(await runModel()));
    parentPort?.postMessage([...seen]);
  },
  // Never ends by itself: the main thread terminates it.
  busy: () => {
    parentPort?.postMessage('started');
    for (;;) queueWork();
  },
  reading: () => {
    parentPort?.postMessage('started');
    const again = (): unknown => queueWork().data().then(again);
    return again();
  },
  // Leaves with reads under way and work in the queue.
  exit: () => {
    for (let i = 0; i < 5; i++) void queueWork().data();
    process.exit(5);
  },
  throw: () => {
    void queueWork().data();
    throw new Error('uncaught in a worker');
  },
  // Nobody waits for the queue: the worker ends by itself.
  idle: () => {
    queueWork();
  },
};
void bodies[how]();
