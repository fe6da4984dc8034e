import * as ops from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { matmulReference, type NdArray, type Shape } from '../harness/ndarray';
import { integers, normal, oneOf } from '../harness/random';

const absolute = (array: NdArray) => array.map(Math.abs);
const int8 = integers(-128, 127);

/** [M, N, K]: each of 1, 7, 15, 17, 33, 50, 63, 65, 127 in each place, so that every tail of every blocked loop is met. */
export const sizes: readonly (readonly [number, number, number])[] = [
  [1, 7, 15],
  [7, 15, 17],
  [15, 17, 33],
  [17, 33, 50],
  [33, 50, 63],
  [50, 63, 65],
  [63, 65, 127],
  [65, 127, 1],
  [127, 1, 7],
  [1, 1, 1],
  [1, 127, 65],
  [63, 1, 127],
  [127, 65, 50],
];

/** The roundings of a sum of K products, each relative to the sum of their magnitudes. */
const products = (a: Shape): number => a[a.length - 1] + 1;

function row(name: string, run: (a: Tensor, b: Tensor) => Tensor, a: Shape, b: Shape, more: Partial<Case> = {}): Case {
  return {
    family: 'matmul',
    name,
    inputs: [
      { shape: a, domain: normal },
      { shape: b, domain: normal },
    ],
    run,
    reference: matmulReference,
    magnitude: (x, y) => matmulReference(absolute(x), absolute(y)),
    roundings: products(a),
    ...more,
  };
}

/** Batches of integers: a long depth, few rows, products that are too small to pack, and one right operand for all. */
const integerBatches: readonly Case[] = [
  [
    [3, 5, 300],
    [3, 300, 33],
  ],
  [
    [3, 2, 300],
    [3, 300, 33],
  ],
  [
    [5, 1, 63],
    [5, 63, 65],
  ],
  [
    [17, 3, 7],
    [17, 7, 15],
  ],
  [
    [40, 15, 17],
    [40, 17, 33],
  ],
  [
    [2, 65, 127],
    [2, 127, 50],
  ],
  [
    [3, 7, 33],
    [1, 33, 17],
  ],
].map(([a, b]) =>
  row(`intMatmul ${a.join('x')} by ${b.join('x')}`, ops.intMatmul, a, b, {
    inputs: [
      { shape: a, dtype: 'int8', domain: int8 },
      // Largest magnitudes only: the sums of two products do not fit in 16 bits.
      { shape: b, dtype: 'int8', domain: oneOf(-128, 127) },
    ],
    output: 'int32',
  }),
);

const sized = sizes.flatMap(([m, n, k]) => {
  const gradient = m * n * k < 5000;
  return [
    row(`matmul ${m}x${n}x${k}`, ops.matmul, [m, k], [k, n], { gradient }),
    row(`intMatmul ${m}x${n}x${k}`, ops.intMatmul, [m, k], [k, n], {
      inputs: [
        { shape: [m, k], dtype: 'int8', domain: int8 },
        { shape: [k, n], dtype: 'int8', domain: int8 },
      ],
      output: 'int32',
    }),
    linearRow(`linear ${m}x${n}x${k}`, [m, k], n, { gradient }),
  ];
});

/** src weight^T + bias. */
function linearRow(name: string, src: Shape, rows: number, more: Partial<Case> = {}): Case {
  const depth = src[src.length - 1];
  const reference = (x: NdArray, weight: NdArray, bias?: NdArray) => {
    const out = matmulReference(x, weight.permute(1, 0));
    out.data.forEach((value, i) => (out.data[i] = value + (bias?.data[i % rows] ?? 0)));
    return out;
  };
  return {
    family: 'matmul',
    name,
    inputs: [{ shape: src }, { shape: [rows, depth] }, { shape: [rows], optional: true }],
    run: ops.linear,
    reference,
    magnitude: (x, weight, bias?: NdArray) => reference(absolute(x), absolute(weight), bias && absolute(bias)),
    roundings: depth + 2,
    ...more,
  };
}

/** Vectors lose the dim that was added to them, so the references add it and take it away. */
const vectors: readonly Case[] = [
  row('matmul vector vector', ops.matmul, [5], [5], {
    reference: (a, b) => matmulReference(a.reshape(1, 5), b.reshape(5, 1)).reshape(),
    magnitude: (a, b) => matmulReference(absolute(a).reshape(1, 5), absolute(b).reshape(5, 1)).reshape(),
  }),
  row('matmul vector matrix', ops.matmul, [5], [5, 4], {
    reference: (a, b) => matmulReference(a.reshape(1, 5), b).reshape(4),
    magnitude: (a, b) => matmulReference(absolute(a).reshape(1, 5), absolute(b)).reshape(4),
  }),
  row('matmul matrix vector', ops.matmul, [4, 5], [5], {
    reference: (a, b) => matmulReference(a, b.reshape(5, 1)).reshape(4),
    magnitude: (a, b) => matmulReference(absolute(a), absolute(b).reshape(5, 1)).reshape(4),
  }),
  row('matmul batch vector', ops.matmul, [2, 3, 5], [5], {
    reference: (a, b) => matmulReference(a, b.reshape(5, 1)).reshape(2, 3),
    magnitude: (a, b) => matmulReference(absolute(a), absolute(b).reshape(5, 1)).reshape(2, 3),
  }),
  row('matmul vector batch', ops.matmul, [5], [2, 5, 3], {
    reference: (a, b) => matmulReference(a.reshape(1, 5), b).reshape(2, 3),
    magnitude: (a, b) => matmulReference(absolute(a).reshape(1, 5), absolute(b)).reshape(2, 3),
  }),
];

const batches: readonly Case[] = [
  row('bmm', ops.bmm, [3, 4, 5], [3, 5, 2], {
    empty: [
      [0, 4, 5],
      [0, 5, 2],
    ],
  }),
  row('matmul batch', ops.matmul, [2, 3, 4, 5], [2, 3, 5, 2]),
  row('matmul broadcast batch', ops.matmul, [2, 1, 4, 5], [3, 5, 2]),
  row('matmul one matrix for a batch', ops.matmul, [3, 4, 5], [5, 2]),
  row('matmul empty depth', ops.matmul, [3, 4], [4, 2], {
    empty: [
      [3, 0],
      [0, 2],
    ],
  }),
  row('matmul empty rows', ops.matmul, [3, 4], [4, 2], {
    empty: [
      [0, 4],
      [4, 2],
    ],
  }),
  row('intMatmul broadcast batch', ops.intMatmul, [2, 1, 4, 9], [3, 9, 2], {
    inputs: [
      { shape: [2, 1, 4, 9], dtype: 'int8', domain: int8 },
      { shape: [3, 9, 2], dtype: 'int8', domain: int8 },
    ],
    output: 'int32',
  }),
  linearRow('linear of a batch', [2, 3, 5], 4, { empty: [[2, 0, 5], [4, 5], [4]] }),
  linearRow('linear of a vector', [5], 4, {
    reference: (x, weight, bias) => linearRow('', [1, 5], 4).reference(x.reshape(1, 5), weight, bias).reshape(4),
    magnitude: (x, weight, bias) => linearRow('', [1, 5], 4).magnitude!(x.reshape(1, 5), weight, bias).reshape(4),
  }),
  linearRow('linear without bias', [3, 5], 4, { inputs: [{ shape: [3, 5] }, { shape: [4, 5] }] }),
];

export const matmulCases: readonly Case[] = [...sized, ...vectors, ...batches, ...integerBatches];

const of = (...shape: number[]) => ops.zeros(shape);
export const matmulFailures: readonly Failure[] = [
  {
    family: 'matmul',
    name: 'inner sizes that differ',
    run: () => ops.matmul(of(2, 3), of(4, 5)),
    code: 'SHAPE_MISMATCH',
    message: /\[2, 3\].*\[4, 5\]/,
  },
  { family: 'matmul', name: 'a number', run: () => ops.matmul(of(), of(3)), code: 'SHAPE_MISMATCH' },
  { family: 'matmul', name: 'batches that differ', run: () => ops.matmul(of(2, 2, 3), of(3, 3, 2)), code: 'SHAPE_MISMATCH' },
  {
    family: 'matmul',
    name: 'two dtypes',
    run: () => ops.matmul(of(2, 3), ops.zeros([3, 2], { dtype: 'float16' })),
    code: 'DTYPE_MISMATCH',
  },
  {
    family: 'matmul',
    name: 'integers',
    run: () => ops.matmul(ops.zeros([2, 3], { dtype: 'int32' }), ops.zeros([3, 2], { dtype: 'int32' })),
    code: 'DTYPE_MISMATCH',
  },
  { family: 'matmul', name: 'floats as integers', run: () => ops.intMatmul(of(2, 3), of(3, 2)), code: 'DTYPE_MISMATCH' },
  { family: 'matmul', name: 'matrices as batches', run: () => ops.bmm(of(2, 3), of(3, 2)), code: 'SHAPE_MISMATCH', message: /\[bmm\]/ },
  {
    family: 'matmul',
    name: 'a weight of other width',
    run: () => ops.linear(of(2, 3), of(4, 5)),
    code: 'SHAPE_MISMATCH',
    message: /\[linear\]/,
  },
  {
    family: 'matmul',
    name: 'a bias of other size',
    run: () => ops.linear(of(2, 3), of(4, 3), of(3)),
    code: 'SHAPE_MISMATCH',
    message: /\[linear\]/,
  },
];
