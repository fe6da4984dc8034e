import { type Benchmark, inEachPrecision, onnxruntime, quanto } from './harness/benchmark';

// [K, N] of transformer layers and of large square ones.
const layers = [
  [384, 384],
  [384, 1536],
  [1536, 384],
  [768, 768],
  [768, 3072],
  [1024, 1024],
  [4096, 4096],
] as const;
const rows = [1, 4, 16, 64, 128, 512, 2048];

const contestants = [
  quanto('float32'),
  quanto('W8'),
  quanto('W8 high'),
  quanto('W8A8'),
  quanto('W8A8 dynamic'),
  quanto('W4'),
  quanto('W4A8 dynamic'),
  quanto('W2'),
  quanto('Wf8'),
  onnxruntime('float32'),
  onnxruntime('dynamic int8'),
  onnxruntime('int8 block 32'),
  onnxruntime('int4 block 32'),
  onnxruntime('int4 block 32 level 4'),
];

export const linear: Benchmark = {
  name: 'linear',
  summary: 'one linear layer [M, K] -> [M, N] with bias: float32, weights of 8, 4 and 2 bits and of float8, and integer activations',
  contestants,
  ratios: [
    { of: 'quanto float32', to: 'onnxruntime float32' },
    { of: 'quanto W8', to: 'onnxruntime float32' },
    { of: 'quanto W8', to: 'quanto float32' },
    { of: 'quanto W8', to: 'onnxruntime int8 block 32' },
    { of: 'quanto W8 high', to: 'quanto float32' },
    { of: 'quanto W8 high', to: 'onnxruntime float32' },
    { of: 'quanto W8A8', to: 'quanto float32' },
    { of: 'quanto W8A8', to: 'onnxruntime dynamic int8' },
    { of: 'quanto W8A8 dynamic', to: 'onnxruntime dynamic int8' },
    { of: 'quanto W4', to: 'quanto float32' },
    { of: 'quanto W4', to: 'onnxruntime int4 block 32' },
    { of: 'quanto W4A8 dynamic', to: 'quanto float32' },
    { of: 'quanto W4A8 dynamic', to: 'onnxruntime int4 block 32 level 4' },
    { of: 'quanto W2', to: 'quanto float32' },
    { of: 'quanto Wf8', to: 'quanto float32' },
  ],
  cases: layers.flatMap(([k, n]) =>
    rows.map((m) => ({
      parameters: { k, n, m },
      workloads: inEachPrecision(contestants, { name: 'linear', m, k, n }),
      operations: 2 * m * n * k,
    })),
  ),
  quick: ({ k, n, m }) => k === 768 && n === 768 && (m === 1 || m === 64),
};
