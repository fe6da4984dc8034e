import { type Benchmark, inEachPrecision, MODEL_WARM_UP, onnxruntime, quanto } from './harness/benchmark';
import { encoderShape, linearOperations } from './models/encoder-shape';

const contestants = [
  quanto('float32'),
  quanto('W8'),
  quanto('W8 high'),
  quanto('W8A8'),
  quanto('W8A8 dynamic'),
  onnxruntime('float32'),
  onnxruntime('dynamic int8'),
];

export const bert: Benchmark = {
  name: 'bert',
  summary: "a BERT encoder of MiniLM's shape: 6 layers, hidden 384, 12 heads, intermediate 1536",
  contestants,
  ratios: [
    { of: 'quanto float32', to: 'onnxruntime float32' },
    { of: 'quanto W8A8', to: 'onnxruntime dynamic int8' },
    { of: 'quanto W8A8', to: 'quanto float32' },
    { of: 'quanto W8', to: 'quanto float32' },
    { of: 'quanto W8 high', to: 'quanto float32' },
  ],
  cases: [
    [1, 16],
    [1, 128],
    [8, 128],
  ].map(([batch, length]) => ({
    parameters: { batch, length },
    workloads: inEachPrecision(contestants, { name: 'encoder', warmUp: MODEL_WARM_UP, batch, length, ...encoderShape }),
    operations: batch * length * linearOperations(encoderShape),
  })),
};
