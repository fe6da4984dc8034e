import { type Benchmark, inEachPrecision, MODEL_WARM_UP, onnxruntime, quanto } from './harness/benchmark';

const contestants = [quanto('float32'), quanto('W8'), quanto('W8A8'), onnxruntime('float32'), onnxruntime('static int8')];

export const conv: Benchmark = {
  name: 'conv',
  summary: 'ResNet-20 on CIFAR images, W8A8 with `integerConvs`; onnxruntime has its batch norms folded and, in int8, uint8 activations',
  contestants,
  ratios: [
    { of: 'quanto float32', to: 'onnxruntime float32' },
    { of: 'quanto W8A8', to: 'onnxruntime static int8' },
    { of: 'quanto W8A8', to: 'quanto float32' },
  ],
  cases: [1, 16, 64].map((batch) => ({
    parameters: { batch },
    workloads: inEachPrecision(contestants, { name: 'resnet20', warmUp: MODEL_WARM_UP, batch }),
    // 40.8 million multiply-adds an image (He et al. 2015).
    operations: batch * 2 * 40.8e6,
  })),
};
