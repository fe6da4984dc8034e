// TensorFlow.js with its WASM backend as a contestant of the training benchmark.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import { labels, uniform } from '../harness/numbers';
import { peersFolder, peerVersion, requirePeer } from './require-peer';
import { type Prepared, serve } from './serve';

interface TfTensor {
  dispose(): void;
}
interface TfModel {
  compile(options: object): void;
  trainOnBatch(x: TfTensor, y: TfTensor): Promise<number>;
}
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor2d(values: Float32Array, shape: readonly [number, number]): TfTensor;
  tensor1d(values: Float32Array): TfTensor;
  sequential(options: { layers: readonly unknown[] }): TfModel;
  readonly layers: { dense(options: object): unknown };
  readonly train: { adam(learningRate: number): unknown };
}
interface Wasm {
  setWasmPaths(folder: string): void;
}

/** tfjs has no AdamW: Adam does the same work but for the decay. */
function trainMlp(tf: TensorFlow, batch: number): Prepared {
  const dense = (units: number, options: object) => tf.layers.dense({ units, ...options });
  const model = tf.sequential({
    layers: [
      dense(512, { inputShape: [784], activation: 'relu' }),
      dense(512, { activation: 'relu' }),
      dense(10, { activation: 'softmax' }),
    ],
  });
  model.compile({ optimizer: tf.train.adam(1e-3), loss: 'sparseCategoricalCrossentropy' });
  const x = tf.tensor2d(uniform(batch * 784, 1), [batch, 784]);
  const y = tf.tensor1d(Float32Array.from(labels(batch, 10, 2)));
  return { run: () => model.trainOnBatch(x, y) };
}

async function main(): Promise<void> {
  const tf = requirePeer('@tensorflow/tfjs') as TensorFlow;
  const wasm = requirePeer('@tensorflow/tfjs-backend-wasm') as Wasm;
  const entry = createRequire(`${peersFolder}/package.json`).resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(`${dirname(entry)}/`);
  await tf.setBackend('wasm');
  await tf.ready();
  await serve(
    { 'train mlp': ({ batch }) => trainMlp(tf, batch as number) },
    { '@tensorflow/tfjs-backend-wasm': peerVersion('@tensorflow/tfjs-backend-wasm') },
  );
}
void main();
