// onnxruntime-node as a contestant: two intra-op threads, all graph optimizations, spinning as it does by default.
import { availableParallelism } from 'node:os';

import type { Workload } from '../harness/protocol';
import { uniform } from '../harness/numbers';
import { convLayer, fakeQuantize, linearLayer, type Precision } from './onnx-layers';
import { OnnxGraph, type OnnxProto } from './onnx-graph';
import { peerVersion, requirePeer } from './require-peer';
import { type Prepared, serve } from './serve';

interface Session {
  run(feeds: Record<string, unknown>): Promise<Record<string, { data: Float32Array; dims: readonly number[] }>>;
  release(): Promise<void>;
}
interface OnnxRuntime {
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => unknown;
}

const runtime = requirePeer('onnxruntime-node') as OnnxRuntime;
const proto = requirePeer('onnx-proto') as OnnxProto;

async function prepare(inputShape: readonly number[], build: (graph: OnnxGraph) => string): Promise<Prepared> {
  const graph = new OnnxGraph(proto);
  const output = build(graph);
  const session = await runtime.InferenceSession.create(graph.model(inputShape, output), {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: Math.min(2, availableParallelism()),
    interOpNumThreads: 1,
  });
  const count = inputShape.reduce((product, size) => product * size, 1);
  const feeds = { x: new runtime.Tensor('float32', uniform(count, 1), inputShape) };
  return { run: async () => (await session.run(feeds))[output].data, dispose: () => session.release() };
}

interface LinearWorkload extends Workload {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly precision: Precision;
}

interface EncoderWorkload extends Workload {
  readonly batch: number;
  readonly length: number;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly precision: Precision;
}

function encoder(graph: OnnxGraph, { batch, length, layers, hidden, heads, intermediate, precision }: EncoderWorkload): string {
  const headSize = hidden / heads;
  const split = graph.shape(batch, length, heads, headSize);
  const join = graph.shape(batch, length, hidden);
  const ones = graph.constant([hidden], new Float32Array(hidden).fill(1));
  const zeros = graph.constant([hidden], new Float32Array(hidden));
  const norm = (x: string) => graph.op('LayerNormalization', [x, ones, zeros], { axis: -1, epsilon: 1e-12 });
  let seed = 100;
  const linear = (x: string, k: number, n: number) => linearLayer(graph, x, k, n, (seed += 2), precision);
  let x = 'x';
  for (let layer = 0; layer < layers; layer++) {
    const project = (perm: number[]) => graph.op('Transpose', [graph.op('Reshape', [linear(x, hidden, hidden), split])], { perm });
    const [q, k, v] = [project([0, 2, 1, 3]), project([0, 2, 3, 1]), project([0, 2, 1, 3])];
    const scores = graph.op('Mul', [graph.op('MatMul', [q, k]), graph.scalar(1 / Math.sqrt(headSize))]);
    const attended = graph.op('MatMul', [graph.op('Softmax', [scores], { axis: -1 }), v]);
    const joined = graph.op('Reshape', [graph.op('Transpose', [attended], { perm: [0, 2, 1, 3] }), join]);
    x = norm(graph.op('Add', [x, linear(joined, hidden, hidden)]));
    x = norm(graph.op('Add', [x, linear(graph.op('Gelu', [linear(x, hidden, intermediate)]), intermediate, hidden)]));
  }
  return x;
}

/** ResNet-20 for CIFAR as an exporter leaves it: batch norms folded into the convolutions, shortcuts without parameters. */
function resnet20(graph: OnnxGraph, precision: Precision): string {
  const quantized = (x: string, lowest: number) => (precision === 'static int8' ? fakeQuantize(graph, x, lowest, 4) : x);
  let seed = 10;
  const conv = (x: string, inC: number, outC: number, stride: number) =>
    convLayer(graph, x, [inC, outC, 3, stride], (seed += 2), precision);
  const relu = (x: string) => quantized(graph.op('Relu', [x]), 0);
  let x = relu(conv(quantized('x', -4), 3, 16, 1));
  let channels = 16;
  for (const outC of [16, 32, 64]) {
    for (let block = 0; block < 3; block++) {
      const stride = outC !== channels ? 2 : 1;
      const hidden = conv(relu(conv(x, channels, outC, stride)), outC, outC, 1);
      let shortcut = x;
      if (stride === 2) {
        const every = graph.op('Slice', [x, graph.shape(0, 0), graph.shape(1 << 30, 1 << 30), graph.shape(2, 3), graph.shape(2, 2)]);
        const side = (outC - channels) / 2;
        shortcut = graph.op('Pad', [every, graph.shape(0, side, 0, 0, 0, side, 0, 0)]);
        shortcut = quantized(shortcut, 0);
      }
      x = relu(graph.op('Add', [quantized(hidden, -4), shortcut]));
      channels = outC;
    }
  }
  const pooled = graph.op('Reshape', [graph.op('GlobalAveragePool', [x]), graph.shape(-1, 64)]);
  return linearLayer(graph, pooled, 64, 10, 5, 'float32');
}

void serve(
  {
    linear: (workload) => {
      const { m, k, n, precision } = workload as LinearWorkload;
      return prepare([m, k], (graph) => linearLayer(graph, 'x', k, n, 3, precision));
    },
    encoder: (workload) => {
      const { batch, length, hidden } = workload as EncoderWorkload;
      return prepare([batch, length, hidden], (graph) => encoder(graph, workload as EncoderWorkload));
    },
    resnet20: (workload) => {
      const { batch, precision } = workload as unknown as { batch: number; precision: Precision };
      return prepare([batch, 3, 32, 32], (graph) => resnet20(graph, precision));
    },
  },
  { 'onnxruntime-node': peerVersion('onnxruntime-node') },
);
