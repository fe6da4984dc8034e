// Every rule against the same op on the dequantized operands: kind, values, gradients, counts.
import {
  bmm,
  cat,
  type DType,
  fallbacks,
  manualSeed,
  nn,
  ones,
  QBytesTensor,
  qfloat8,
  qint8,
  QTensor,
  type QType,
  quantizeActivation,
  quantizeWeight,
  randn,
  stack,
  tensor,
  type Tensor,
  where,
  zeros,
} from '../../lib';
import { div, maximum, mul } from '../../lib/ops/binary';
import { ops } from '../../lib/ops';
import { packForGemm, quantizedOps } from '../../lib/qtensor';
import { codeOf } from '../harness/errors';

const { linear, intMatmul } = nn.functional;

const numbers = (src: Tensor) => [...(src.dequantize().float().dataSync() as Float32Array)];

/** |actual - expected| <= atol + rtol * |expected|; NaN and infinities are equal to themselves. */
function expectNear(actual: Tensor, expected: Tensor, { atol = 0, rtol = 0 } = {}): void {
  expect(actual.shape).toEqual(expected.shape);
  const want = numbers(expected);
  const far = numbers(actual).flatMap((value, i) =>
    Object.is(value, want[i]) || Math.abs(value - want[i]) <= atol + rtol * Math.abs(want[i]) ? [] : [{ i, value, expected: want[i] }],
  );
  expect(far).toEqual([]);
}

const float32 = { rtol: 1e-6, atol: 1e-6 };
// Sums in another order.
const near = { rtol: 1e-5, atol: 1e-5 };

interface Made {
  qtype?: QType;
  dtype?: DType;
  scale?: Tensor;
  requiresGrad?: boolean;
}

function activation(shape: readonly number[], { qtype = qint8, dtype = 'float32', scale, requiresGrad = false }: Made = {}): QBytesTensor {
  const src = randn(shape, { dtype, requiresGrad });
  return quantizeActivation(src, { qtype, scale: scale ?? tensor(0.03, { dtype }) }) as QBytesTensor;
}

beforeEach(() => {
  manualSeed(1);
  fallbacks({ reset: true });
});

interface Row {
  call: (q: Tensor) => Tensor;
  /** Which types stay quantized. */
  stays: 'both' | 'int8' | 'none';
  /** Whether the result is quantized anew, off by half a step. */
  requantized?: boolean;
}
const mask = tensor([
  [true, false, true, true],
  [false, true, false, true],
  [true, true, false, false],
]);
const rows: Record<string, Row> = {
  view: { call: (q) => q.view(4, 3), stays: 'both' },
  reshape: { call: (q) => q.t().reshape(2, 6), stays: 'both' },
  flatten: { call: (q) => q.flatten(), stays: 'both' },
  expand: { call: (q) => q.unsqueeze(0).expand(2, 3, 4), stays: 'both' },
  permute: { call: (q) => q.permute(1, 0), stays: 'both' },
  transpose: { call: (q) => q.transpose(0, 1), stays: 'both' },
  t: { call: (q) => q.t(), stays: 'both' },
  select: { call: (q) => q.select(1, -1), stays: 'both' },
  slice: { call: (q) => q.slice(1, 1, 4, 2), stays: 'both' },
  split: { call: (q) => q.split([1, 3], 1)[1], stays: 'both' },
  unsqueeze: { call: (q) => q.unsqueeze(-1), stays: 'both' },
  contiguous: { call: (q) => q.t().contiguous(), stays: 'both' },
  clone: { call: (q) => q.clone(), stays: 'both' },
  relu: { call: (q) => q.relu(), stays: 'int8' },
  neg: { call: (q) => q.neg(), stays: 'int8' },
  'mul by a number': { call: (q) => q.mul(2.5), stays: 'both' },
  'mul of a number': { call: (q) => mul(2.5, q), stays: 'both' },
  'mul by a number in a tensor': { call: (q) => q.mul(tensor(2.5)), stays: 'both' },
  'div by a number': { call: (q) => q.div(2.5), stays: 'both' },
  'div by a number in a tensor': { call: (q) => q.div(tensor(2.5)), stays: 'both' },
  softmax: { call: (q) => q.softmax(1), stays: 'both', requantized: true },
  where: { call: (q) => where(mask, q, 1), stays: 'both', requantized: true },
  // No rule, or none for these operands: in float.
  'mul by a negative number': { call: (q) => q.mul(-2), stays: 'none' },
  'mul by 0': { call: (q) => q.mul(0), stays: 'none' },
  'mul by NaN': { call: (q) => q.mul(NaN), stays: 'none' },
  'mul by infinity': { call: (q) => q.mul(Infinity), stays: 'none' },
  'div of a number': { call: (q) => div(1, q), stays: 'none' },
  'mul by a tensor': { call: (q) => q.mul(ones([4])), stays: 'none' },
  'mul by a number that only the device knows': { call: (q) => q.mul(ones([2]).sum()), stays: 'none' },
  'mul by itself': { call: (q) => q.mul(q), stays: 'none' },
  'div by itself': { call: (q) => q.div(q), stays: 'none' },
  add: { call: (q) => q.add(1), stays: 'none' },
  squeeze: { call: (q) => q.squeeze(), stays: 'none' },
  gelu: { call: (q) => q.gelu(), stays: 'none' },
  layerNorm: { call: (q) => q.layerNorm([4]), stays: 'none' },
  'where with a float first': { call: (q) => where(mask, zeros([3, 4]), q), stays: 'none' },
  maximum: { call: (q) => maximum(q, 0.5), stays: 'none' },
  'to float8': { call: (q) => q.to('float8_e4m3fn').float(), stays: 'none' },
};

describe.each([qint8, qfloat8])('%s', (qtype) => {
  const cases = Object.entries(rows);

  it.each(cases)('%s: kind and values', (_, { call, stays, requantized = false }) => {
    const q = activation([3, 4], { qtype });
    const result = call(q);
    const staysQuantized = stays === 'both' || (stays === 'int8' && qtype === qint8);
    expect(result.isQuantized).toBe(staysQuantized);
    expect(Object.keys(fallbacks()).length).toBe(staysQuantized ? 0 : 1);
    const expected = call(q.dequantize());
    if (!(result instanceof QTensor)) {
      expectNear(result, expected);
      return;
    }
    expect([result.qtype, result.axis, result.scale.shape, result.dtype]).toEqual([qtype, null, [], 'float32']);
    // Half a step of the codes: of integers one of the scale, of float8 one of 4 bits.
    const half = qtype === qint8 ? { atol: 0.501 * result.scale.item() } : { rtol: 2 ** -4, atol: 2 ** -9 * result.scale.item() };
    expectNear(result, expected, requantized ? half : float32);
  });

  it.each(cases)('%s: the gradient is that of the values', (_, { call, requantized = false }) => {
    const scale = tensor(0.03);
    const src = randn([3, 4], { requiresGrad: true });
    const q = quantizeActivation(src, { qtype, scale });
    const plain = tensor(q.dequantize().tolist(), { requiresGrad: true });
    const [result, expected] = [call(q), call(plain)];
    const gradient = randn(result.shape);
    result.backward(gradient);
    expected.backward(gradient);
    // Softmax computes its gradient from its output, here the quantized one.
    expectNear(src.grad as Tensor, plain.grad as Tensor, requantized ? { atol: 0.05 } : float32);
  });
});

describe('scales', () => {
  it('stay positive, so that the order of codes is the order of values', () => {
    const q = activation([3, 4]);
    expectNear(q.mul(-1).relu(), q.dequantize().mul(-1).relu());
    expect(q.mul(-1).lt(q).tolist()).toEqual(q.dequantize().mul(-1).lt(q.dequantize()).tolist());
  });

  it('of softmax are known: 1 over the largest code', () => {
    expect((activation([3, 4]).softmax() as QTensor).scale.item()).toBe(Math.fround(1 / 127));
    expect((activation([3, 4], { qtype: qfloat8 }).softmax() as QTensor).scale.item()).toBe(Math.fround(1 / 448));
    // Whatever the scale of the source.
    const overflowing = new QBytesTensor(qint8, null, { codes: zeros([2], { dtype: 'int8' }), scale: ones([]).div(0) });
    expect((overflowing.softmax() as QTensor).scale.item()).toBe(Math.fround(1 / 127));
  });

  it('have the dtype of the activation', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const q = activation([3, 4], { dtype });
      for (const result of [q.mul(2.5), q.div(2.5), q.softmax(), where(mask, q, 1), q.relu(), q.mul(tensor(2.5))]) {
        expect([result.isQuantized, result.dtype]).toEqual([true, dtype]);
      }
    }
  });
});

test('-(-128) saturates', () => {
  const q = new QBytesTensor(qint8, null, { codes: tensor([-128, -127, 0, 127], { dtype: 'int8' }), scale: tensor(1) });
  expect((q.neg() as QTensor).codes.tolist()).toEqual([127, 127, 0, -127]);
});

describe('comparisons', () => {
  const calls = {
    lt: (a: Tensor, b: Tensor) => a.lt(b),
    le: (a: Tensor, b: Tensor) => a.le(b),
    gt: (a: Tensor, b: Tensor) => a.gt(b),
    ge: (a: Tensor, b: Tensor) => a.ge(b),
  };
  it.each(Object.entries(calls))('%s compares codes of one scale, else values', (name, call) => {
    const [a, b] = [activation([30]), activation([30])];
    const check = (x: Tensor, y: Tensor, count: number) => {
      fallbacks({ reset: true });
      expect(call(x, y).tolist()).toEqual(call(x.dequantize(), y.dequantize()).tolist());
      expect(fallbacks()).toEqual(count === 0 ? {} : { [name]: count });
    };
    check(a, b, 0);
    check(a, a, 0);
    check(a, activation([30], { scale: tensor(0.05) }), 1);
    check(a, activation([30], { scale: ones([]).mul(0.03) }), 1);
    check(a, randn([30]), 1);
    check(a, tensor(0.1), 1);
    check(activation([30], { qtype: qfloat8 }), activation([30], { qtype: qfloat8 }), 1);
  });
});

describe.each([
  ['cat', (inputs: Tensor[]) => cat(inputs, 1)],
  ['stack', (inputs: Tensor[]) => stack(inputs, 1)],
])('%s', (name, call) => {
  const joins = (a: Tensor, b: Tensor) => {
    const joined = call([a, b]);
    expectNear(joined, call([a.dequantize(), b.dequantize()]));
    return joined.isQuantized;
  };

  it('joins the codes of two activations of one scale', () => {
    const [a, b] = [activation([2, 3]), activation([2, 3])];
    expect(joins(a, b)).toBe(true);
    expect(joins(a, a)).toBe(true);
    const scale = ones([]).mul(0.03);
    expect(joins(activation([2, 3], { scale }), activation([2, 3], { scale }))).toBe(true);
    expect(fallbacks()).toEqual({});
  });

  it('joins values where scales differ or are not known to be equal', () => {
    const a = activation([2, 3]);
    expect(joins(a, activation([2, 3], { scale: tensor(0.05) }))).toBe(false);
    expect(joins(a, activation([2, 3], { scale: ones([]).mul(0.03) }))).toBe(false);
    expect(joins(a, activation([2, 3], { qtype: qfloat8 }))).toBe(false);
    expect(joins(a, randn([2, 3]))).toBe(false);
    expect(joins(randn([2, 3]), a)).toBe(false);
    expect(call([a, a, a]).isQuantized).toBe(false);
    expect(call([a]).isQuantized).toBe(false);
    expect(fallbacks()).toEqual({ [name]: 7 });
  });

  it('splits the gradient', () => {
    const scale = tensor(0.03);
    const [a, b] = [randn([2, 3], { requiresGrad: true }), randn([2, 3], { requiresGrad: true })];
    const joined = call([a, b].map((src) => quantizeActivation(src, { qtype: qint8, scale })));
    joined.mul(2).sum().backward();
    expect(a.grad?.tolist()).toEqual([
      [2, 2, 2],
      [2, 2, 2],
    ]);
    expect(b.grad?.tolist()).toEqual(a.grad?.tolist());
  });

  it('of two modules wants the integers of both', () => {
    const scale = tensor(0.03);
    const [a, b] = [activation([2, 3], { scale }), activation([2, 3], { scale })];
    const [first, second] = [{ outputRequired: false }, { outputRequired: false }];
    a.producer = first;
    b.producer = second;
    const joined = call([a, b]) as QTensor;
    expect([first.outputRequired, second.outputRequired, joined.producer]).toEqual([true, true, null]);
    b.producer = first;
    first.outputRequired = false;
    expect((call([a, b]) as QTensor).producer).toBe(first);
    expect(first.outputRequired).toBe(false);
  });
});

describe('where', () => {
  it('takes a quantized third operand too, and keeps the scale of the second', () => {
    const [a, b] = [activation([3, 4]), activation([3, 4], { scale: tensor(0.01) })];
    const result = where(mask, a, b) as QTensor;
    expect(result.scale.item()).toBe(Math.fround(0.03));
    expectNear(result, where(mask, a.dequantize(), b.dequantize()), { atol: 0.0151 });
  });

  it('fills with what the codes can hold', () => {
    const result = where(mask, activation([3, 4]), -Infinity);
    expect(result.amin().item()).toBeCloseTo(-128 * 0.03, 5);
  });
});

describe.each([
  ['matmul', (a: Tensor, b: Tensor) => a.matmul(b)],
  ['bmm', bmm],
])('%s', (_, call) => {
  it('multiplies integers exactly', () => {
    const [a, b] = [activation([2, 5, 70]), activation([2, 3, 70], { scale: tensor(0.05) })];
    const y = call(a, b.transpose(1, 2));
    expect(y.isQuantized).toBe(false);
    const sums = intMatmul(a.codes, b.codes.transpose(1, 2)).float();
    expectNear(y, sums.mul(Math.fround(Math.fround(0.03) * Math.fround(0.05))));
    expectNear(y, call(a.dequantize(), b.dequantize().transpose(1, 2)), near);
    expect(fallbacks()).toEqual({});
  });

  it('does not overflow in float16, where the sums are beyond its range', () => {
    const made = () => {
      const codes = ones([1, 4, 64]).mul(127).to('int8');
      return new QBytesTensor(qint8, null, { codes, scale: tensor(0.01, { dtype: 'float16' }) });
    };
    const y = call(made(), made().transpose(1, 2));
    expect(y.dtype).toBe('float16');
    expectNear(y, ones([1, 4, 4]).mul(64 * 1.27 * 1.27), { rtol: 5e-3 });
  });

  it('runs in float on mixed operands', () => {
    const a = activation([2, 5, 7]);
    const others = [randn([2, 7, 3]), activation([2, 7, 3], { qtype: qfloat8 }), activation([2, 7, 3], { dtype: 'float16' })];
    expectNear(call(a, others[0]), call(a.dequantize(), others[0]), near);
    expectNear(call(others[0].transpose(1, 2), a.transpose(1, 2)), call(others[0].transpose(1, 2), a.dequantize().transpose(1, 2)), near);
    expectNear(call(a, others[1]), call(a.dequantize(), others[1].dequantize()), near);
    expect(codeOf(() => call(a, others[2]))).toBe('DTYPE_MISMATCH');
    expect(Object.values(fallbacks())).toEqual([4]);
  });

  it('has the gradients of the values', () => {
    const [x, w] = [randn([2, 5, 7], { requiresGrad: true }), randn([2, 7, 3], { requiresGrad: true })];
    const scale = tensor(0.03);
    const [a, b] = [x, w].map((src) => quantizeActivation(src, { qtype: qint8, scale }));
    const [plainA, plainB] = [a, b].map((src) => tensor(src.dequantize().tolist(), { requiresGrad: true }));
    const gradient = randn([2, 5, 3]);
    call(a, b).backward(gradient);
    call(plainA, plainB).backward(gradient);
    expectNear(x.grad as Tensor, plainA.grad as Tensor, float32);
    expectNear(w.grad as Tensor, plainB.grad as Tensor, float32);
  });
});

describe('linear', () => {
  const bias = randn([6]);
  const weight = (axis: number | null = 0, qtype: QType = qint8) => quantizeWeight(randn([6, 40]), { qtype, axis });

  it('takes a float input', () => {
    for (const axis of [0, null]) {
      const w = weight(axis);
      for (const shape of [[40], [1, 40], [5, 40], [2, 3, 40], [0, 40]]) {
        const x = randn(shape);
        expectNear(linear(x, w, bias), linear(x, w.dequantize(), bias), near);
        expectNear(linear(x, w), linear(x, w.dequantize()), near);
      }
    }
    expect(fallbacks()).toEqual({});
  });

  it('takes integers', () => {
    const w = weight();
    for (const shape of [[40], [1, 40], [5, 40], [2, 3, 40], [0, 40]]) {
      const x = activation(shape);
      expectNear(linear(x, w, bias), linear(x.dequantize(), w.dequantize(), bias), near);
    }
    // Rows of a transposed activation are not consecutive in memory.
    const x = activation([40, 5]).t();
    expectNear(linear(x, w), linear(x.dequantize(), w.dequantize()), near);
    expect(fallbacks()).toEqual({});
  });

  it('gives the same bits for packed weights, in every dtype', () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const w = quantizeWeight(randn([33, 70], { dtype }), { qtype: qint8 });
      for (const rowCount of [1, 3, 8, 20]) {
        const x = randn([rowCount, 70], { dtype });
        for (const src of [x, quantizeActivation(x, { qtype: qint8, scale: tensor(0.03, { dtype }) })]) {
          expect(linear(src, packForGemm(w)).bytesSync()).toEqual(linear(src, w).bytesSync());
        }
      }
    }
  });

  it('runs in float otherwise', () => {
    const x = activation([5, 40]);
    const cases: [Tensor, Tensor, Tensor | null][] = [
      [x, randn([6, 40]), bias],
      [x, weight(-1), bias],
      [x, weight(0, qfloat8), bias],
      [activation([5, 40], { qtype: qfloat8 }), weight(), bias],
      [quantizeWeight(randn([5, 40]), { qtype: qint8 }), weight(), bias],
      [randn([5, 40]), weight(), activation([6])],
    ];
    for (const [src, w, b] of cases) {
      fallbacks({ reset: true });
      expectNear(linear(src, w, b), linear(src.dequantize(), w.dequantize(), b && b.dequantize()));
      expect(fallbacks()).toEqual({ linear: 1 });
    }
  });

  it.each([
    ['float', false],
    ['integer', true],
  ])('has the gradients of the values for a %s input', (_, quantizes) => {
    const [x, w, b] = [randn([5, 40], { requiresGrad: true }), randn([6, 40], { requiresGrad: true }), randn([6], { requiresGrad: true })];
    const qw = quantizeWeight(w, { qtype: qint8 });
    const src = quantizes ? quantizeActivation(x, { qtype: qint8, scale: tensor(0.03) }) : x;
    const gradient = randn([5, 6]);
    linear(src, qw, b).backward(gradient);
    expectNear(x.grad as Tensor, gradient.matmul(qw.dequantize()), near);
    expectNear(w.grad as Tensor, gradient.t().matmul(src.dequantize()), near);
    expectNear(b.grad as Tensor, gradient.sum(0), near);
  });

  it('goes back through packed weights as well', () => {
    const x = randn([5, 40], { requiresGrad: true });
    const w = packForGemm(weight());
    linear(x, w).sum().backward();
    expectNear(x.grad as Tensor, ones([5, 6]).matmul(w.dequantize()), near);
  });

  it('wants the integers of the module that made its input', () => {
    const producer = { outputRequired: false };
    const x = activation([5, 40]);
    x.producer = producer;
    linear(x, randn([6, 40]));
    linear(x, weight(0, qfloat8));
    x.gelu();
    expect(producer.outputRequired).toBe(false);
    linear(x.relu(), weight());
    expect(producer.outputRequired).toBe(true);
  });
});

describe('weights', () => {
  it('keep a scale for each row when they are transposed', () => {
    for (const w of [quantizeWeight(randn([6, 40]), { qtype: qint8 }), packForGemm(quantizeWeight(randn([6, 40]), { qtype: qint8 }))]) {
      for (const turned of [w.t(), w.transpose(0, 1), w.transpose(-1, 0)] as QTensor[]) {
        expect([turned.axis, turned.shape, turned.scale.shape]).toEqual([-1, [40, 6], [1, 6]]);
        expect(turned.tolist()).toEqual(w.dequantize().t().tolist());
        expect((turned.t() as QTensor).axis).toBe(0);
      }
      const same = w.transpose(0, 0) as QTensor;
      expect([same.axis, same.scale.shape]).toEqual([0, [6, 1]]);
      expect(same.tolist()).toEqual(w.tolist());
    }
    expect(fallbacks()).toEqual({});
  });

  it('run in float elsewhere', () => {
    const w = quantizeWeight(randn([6, 40]), { qtype: qint8 });
    const packed = packForGemm(w);
    for (const call of [
      (src: Tensor) => src.reshape(40, 6),
      (src: Tensor) => src.slice(0, 1, 3),
      (src: Tensor) => src.select(0, 2),
      (src: Tensor) => src.relu(),
      (src: Tensor) => src.mul(2),
      (src: Tensor) => src.sum(1),
      (src: Tensor) => cat([src, src]),
      (src: Tensor) => randn([2, 6]).mul(0).add(1).matmul(src),
    ]) {
      for (const src of [w, packed]) {
        const result = call(src);
        expect(result.isQuantized).toBe(false);
        expectNear(result, call(src.dequantize()));
      }
    }
  });
});

test('every op with a rule exists', () => {
  expect(quantizedOps.filter((name) => !(name in ops) && name !== 'dequantize')).toEqual([]);
});
