import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { memory, type nn, noGrad, synchronize, tidy } from 'quanto';
import { type Dataset, inOrder } from './dataset';

const WARM_UP_RUNS = 50;
const TIMED_RUNS = 101;

/** What the table says of a model. */
export interface Figures {
  /** Share of the test images that are recognized, from 0 to 1. */
  accuracy: number;
  /** SHA-256 of the logits of all test images, float32 in order. */
  logitsHash: string;
  /** Memory of the model's tensors. */
  memoryBytes: number;
  /** Median time of one forward and the reading of its result. */
  msPerBatch: number;
}

/**
 * Measures a model on the test images.
 * @param bytesBefore `liveBytes()` before the model was made: what is live beyond that is the model
 */
export async function measure(model: nn.Module, data: Dataset, batchSize: number, bytesBefore: number): Promise<Figures> {
  model.eval();
  const memoryBytes = (await liveBytes()) - bytesBefore;
  return { ...(await evaluate(model, data, batchSize)), memoryBytes, msPerBatch: await time(model, data, batchSize) };
}

/** Bytes of live tensors, without those that ops under way still hold or that wait for garbage collection. */
export async function liveBytes(): Promise<number> {
  synchronize();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  // Finalizers run in the event loop.
  await setImmediate();
  return memory().bytes;
}

async function evaluate(model: nn.Module, data: Dataset, batchSize: number): Promise<{ accuracy: number; logitsHash: string }> {
  const hash = createHash('sha256');
  let recognized = 0;
  for (const selection of inOrder(data.size, batchSize)) {
    const [logits, hits] = noGrad(() =>
      tidy(() => {
        const { images, labels } = data.batch(selection);
        const logits = model.forward(images).dequantize();
        return [logits, logits.argmax(1).eq(labels).sum()];
      }),
    );
    hash.update(await logits.bytes());
    recognized += Number((await hits.data())[0]);
    logits.dispose();
    hits.dispose();
  }
  return { accuracy: recognized / data.size, logitsHash: hash.digest('hex') };
}

async function time(model: nn.Module, data: Dataset, batchSize: number): Promise<number> {
  const { images, labels } = data.batch(inOrder(data.size, batchSize)[0]);
  const times: number[] = [];
  // A handful of images (--images) is for a quick look.
  const [warmUp, timed] = [WARM_UP_RUNS, TIMED_RUNS].map((runs) => Math.min(runs, data.size));
  for (let run = 0; run < warmUp + timed; run++) {
    const started = performance.now();
    using logits = noGrad(() => tidy(() => model.forward(images)));
    await logits.data();
    if (run >= warmUp) times.push(performance.now() - started);
  }
  images.dispose();
  labels.dispose();
  return times.sort((a, b) => a - b)[Math.floor(timed / 2)];
}
