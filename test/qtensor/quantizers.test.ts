import {
  AbsmaxOptimizer,
  absmaxScale,
  type DType,
  full,
  manualSeed,
  ones,
  qfloat8_e4m3fn,
  qfloat8_e4m3fnuz,
  qfloat8_e5m2,
  qint8,
  type QType,
  quantizeActivation,
  quantizeWeight,
  randn,
  type ScaleOptimizer,
  tensor,
  type Tensor,
  zeros,
} from '../../lib';
import { native } from '../../lib/native';
import { packForGemm } from '../../lib/qtensor';
import { linear } from '../../lib/ops/matmul';
import { codeOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

const inf = Infinity;
const close = (actual: Tensor, expected: Tensor, atol: number) => expect(actual.allclose(expected, { atol, rtol: 0 })).toBe(true);
/** float32(f(i)) in rows. */
const matrix = (f: (i: number) => number, shape: readonly [number, number]) =>
  tensor(
    Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => f(i)),
    { shape },
  );

// Computed with numpy in float32 for w[i] = sin(i + 1).
describe('golden vectors', () => {
  const weight = matrix((i) => Math.sin(i + 1), [3, 4]);

  it.each([
    [
      0,
      [0.007159822, 0.007790222, 0.007873938],
      [
        [118, 127, 20, -106],
        [-123, -36, 84, 127],
        [52, -69, -127, -68],
      ],
    ],
    [
      null,
      [0.007873938],
      [
        [107, 115, 18, -96],
        [-122, -35, 83, 126],
        [52, -69, -127, -68],
      ],
    ],
    [
      -1,
      null,
      [
        [111, 127, 18, -97],
        [-127, -39, 83, 127],
        [55, -76, -127, -69],
      ],
    ],
  ])('int8 along axis %p', (axis, scale, codes) => {
    const quantized = quantizeWeight(weight, { qtype: qint8, axis });
    expect(quantized.codes.tolist()).toEqual(codes);
    if (scale) close(quantized.scale.flatten(), tensor(scale), 1e-9);
    expect(quantized.axis).toBe(axis);
  });

  it.each([
    [qfloat8_e4m3fn, '7d7e69fcfef0797e74f7fef7'],
    [qfloat8_e4m3fnuz, '7e7f69fcfff07a7f74f8fff8'],
    [qfloat8_e5m2, '7a7b70fafbf4797b76f8fbf8'],
  ])('%s', (qtype, bytes) => {
    const { codes } = quantizeWeight(weight, { qtype, axis: 0 });
    expect(Buffer.from(codes.bytesSync()).toString('hex')).toBe(bytes);
  });

  it('integers on both sides of a linear layer', () => {
    const x = matrix(Math.cos, [2, 4]);
    const scale = absmaxScale(x);
    close(scale, tensor(0.007874016), 1e-9);
    const qx = quantizeActivation(x, { qtype: qint8, scale });
    expect(qx.codes.tolist()).toEqual([
      [127, 69, -53, -126],
      [-83, 36, 122, 96],
    ]);
    const y = linear(qx, quantizeWeight(weight, { qtype: qint8 }));
    close(
      y,
      tensor([
        [2.0320928, -2.3652217, 1.0627956],
        [-0.7305274, 1.9232034, -1.7869499],
      ]),
      3e-7,
    );
  });
});

describe('quantizeWeight', () => {
  it('has a scale for each row by default, in the dtype of the weight', () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const weight = randn([3, 8], { dtype });
      const quantized = quantizeWeight(weight, { qtype: 'qint8' });
      expect([quantized.axis, quantized.dtype, quantized.scale.shape]).toEqual([0, dtype, [3, 1]]);
      const steps = quantized.dequantize().float().sub(weight.float()).abs().div(quantized.scale.float());
      // Half a step, and in narrow dtypes the rounding of the quotient and of the value.
      expect(steps.max().item()).toBeLessThanOrEqual(dtype === 'float32' ? 0.50001 : dtype === 'float16' ? 0.6 : 1.01);
    }
  });

  it('has one scale where the axis has size 1', () => {
    expect(quantizeWeight(randn([1, 8]), { qtype: qint8 })).toMatchObject({ axis: null, shape: [1, 8] });
    expect(quantizeWeight(randn([4, 1]), { qtype: qint8, axis: -1 }).scale.shape).toEqual([]);
    expect(quantizeWeight(randn([8, 3]), { qtype: qint8, axis: 1 }).axis).toBe(-1);
  });

  it('takes scales from an optimizer, or as they are given', () => {
    const weight = randn([3, 8]);
    const half: ScaleOptimizer = { scale: (src, qtype, axis) => absmaxScale(src, { qtype, axis }).div(2) };
    const clipped = quantizeWeight(weight, { qtype: qint8, optimizer: half });
    expect(clipped.codes.float().absmax().item()).toBe(128);
    expect(quantizeWeight(weight, { qtype: qint8, scale: clipped.scale }).codes.tolist()).toEqual(clipped.codes.tolist());
    expect(new AbsmaxOptimizer().scale(weight, qint8, 0).tolist()).toEqual(absmaxScale(weight, { axis: 0 }).tolist());
  });

  it('passes the gradient straight through, saturated values included', () => {
    const weight = randn([3, 8], { requiresGrad: true });
    const quantized = quantizeWeight(weight, { qtype: qint8, scale: full([3, 1], 1e-3) });
    const gradient = randn([3, 8]);
    quantized.dequantize().backward(gradient);
    expect(weight.grad?.tolist()).toEqual(gradient.tolist());
  });
});

describe('quantizeActivation', () => {
  it('has one scale, in the dtype of the values', () => {
    const quantized = quantizeActivation(tensor([-300, -1.5, -0.5, 0.5, 1.5, 300]), { qtype: qint8, scale: tensor(1) });
    // Ties go to even numbers, and what is out of range saturates.
    expect(quantized.codes.tolist()).toEqual([-128, -2, 0, 0, 2, 127]);
    expect(quantized.axis).toBeNull();
  });

  it('gives scale and gradient to whom they belong', () => {
    const src = randn([4], { requiresGrad: true });
    const scale = full([], 0.1, { requiresGrad: true });
    quantizeActivation(src, { qtype: qint8, scale }).dequantize().sum().backward();
    expect(src.grad?.tolist()).toEqual([1, 1, 1, 1]);
    expect(scale.grad).toBeNull();
  });
});

describe('what is not finite', () => {
  const types: [string, QType][] = [qint8, qfloat8_e4m3fn, qfloat8_e5m2].map((qtype) => [qtype.name, qtype]);

  it.each(types)('NaN becomes 0 and infinities the largest value: %s', (_, qtype) => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as DType[]) {
      const weight = tensor(
        [
          [1, NaN, -2, inf],
          [NaN, NaN, inf, -inf],
          [0, 0, 0, 0],
        ],
        { dtype },
      );
      const quantized = quantizeWeight(weight, { qtype, axis: 0 });
      const [first, second, third] = quantized.tolist() as number[][];
      expect(first[1]).toBe(0);
      expect(first[3]).toBeCloseTo(2, 1);
      // No value of this row is finite, so there is no range: its values are 0.
      expect(second).toEqual([0, 0, 0, 0]);
      expect(third).toEqual([0, 0, 0, 0]);
      expect(quantized.scale.float().isfinite().all().item()).toBe(1);
    }
  });

  it('a single outlier takes the whole range', () => {
    const quantized = quantizeWeight(tensor([[1e6, 1, -1, 0.25]]), { qtype: qint8 });
    expect(quantized.codes.tolist()).toEqual([[127, 0, 0, 0]]);
    expect(quantized.tolist()).toEqual([[1e6, 0, 0, 0]].map((row) => row.map((value) => expect.closeTo(value, 0) as number)));
  });

  it('neither very large nor very small numbers are lost', () => {
    const largest = 3e38;
    const quantized = quantizeWeight(
      tensor([
        [largest, -largest],
        [1e-45, 0],
      ]),
      { qtype: qint8 },
    );
    const values = quantized.tolist() as number[][];
    expect(values[0].map((value) => value / largest)).toEqual([expect.closeTo(1, 5), expect.closeTo(-1, 5)]);
    // A denormal whose scale rounds to 0 has the codes of zeros.
    expect(values[1]).toEqual([0, 0]);
  });
});

describe('absmaxScale', () => {
  it('is the largest magnitude over the largest code', () => {
    const src = tensor([
      [1, -2, 0.5],
      [0, 0.25, -0.125],
    ]);
    expect(absmaxScale(src).item()).toBeCloseTo(2 / 127, 9);
    expect(absmaxScale(src, { qtype: 'qfloat8' }).item()).toBeCloseTo(2 / 448, 9);
    close(absmaxScale(src, { axis: 0 }), tensor([[2 / 127], [0.25 / 127]]), 1e-9);
    close(absmaxScale(src, { axis: -1 }), tensor([[1 / 127, 2 / 127, 0.5 / 127]]), 1e-9);
    expect(absmaxScale(src.half()).dtype).toBe('float16');
  });

  it('is 0 for nothing, and for zeros', () => {
    expect(absmaxScale(zeros([0, 3])).item()).toBe(0);
    expect(absmaxScale(zeros([2, 3])).item()).toBe(0);
  });

  it('is not recorded', () => {
    expect(absmaxScale(randn([3], { requiresGrad: true })).requiresGrad).toBe(false);
  });
});

describe('packForGemm', () => {
  it.each([[[5, 40]], [[4, 2, 3, 3]], [[17, 7, 1, 5]]])('keeps the values of %p', (shape) => {
    const weight = quantizeWeight(randn(shape), { qtype: qint8 });
    const packed = packForGemm(weight);
    expect(packed).not.toBe(weight);
    expect(packed.tolist()).toEqual(weight.tolist());
  });

  it.each(['qint8', 'qint4', 'qint2', 'qfloat8_e4m3fn', 'qfloat8_e4m3fnuz', 'qfloat8_e5m2'])('keeps the codes of %s', (qtype) => {
    const weight = quantizeWeight(randn([5, 40]), { qtype });
    const packed = packForGemm(weight);
    expect(packed).not.toBe(weight);
    expect(packed.tolist()).toEqual(weight.tolist());
    expect(packed.savedCodes.bytesSync()).toEqual(weight.savedCodes.bytesSync());
  });

  it('leaves alone what no kernel streams', () => {
    for (const other of [
      quantizeWeight(randn([4, 2, 3]), { qtype: qint8 }),
      quantizeWeight(randn([4, 2, 3, 3]), { qtype: 'qint4' }),
      quantizeWeight(randn([5, 40]), { qtype: qint8, axis: -1 }),
    ]) {
      expect(packForGemm(other)).toBe(other);
    }
  });

  it('shares codes that are packed already', () => {
    const packed = packForGemm(quantizeWeight(randn([5, 40]), { qtype: qint8 }));
    const again = packForGemm(packed);
    expect(native.storageOf(again.stored.codes.native)).toBe(native.storageOf(packed.stored.codes.native));
    expect(again.tolist()).toEqual(packed.tolist());
  });
});

describe('what cannot be quantized', () => {
  const base = ones([4, 10]);
  it.each([
    ['groups', () => quantizeWeight(base, { qtype: qint8, groupSize: 2 }), 'INVALID_ARGUMENT'],
    ['less than 8 bits', () => quantizeActivation(base, { qtype: 'qint2', scale: tensor(1) }), 'NOT_SUPPORTED'],
    ['a middle axis', () => quantizeWeight(ones([2, 3, 4]), { qtype: qint8, axis: 1 }), 'INVALID_ARGUMENT'],
    ['an integer tensor', () => absmaxScale(ones([2], { dtype: 'int32' })), 'DTYPE_MISMATCH'],
    ['a quantized tensor', () => absmaxScale(quantizeWeight(base, { qtype: qint8 })), 'INVALID_ARGUMENT'],
    ['a scale of NaN', () => quantizeActivation(base, { qtype: qint8, scale: tensor(NaN) }), 'INVALID_ARGUMENT'],
    ['a negative scale', () => quantizeActivation(base, { qtype: qint8, scale: tensor(-1) }), 'INVALID_ARGUMENT'],
    ['an infinite scale', () => quantizeActivation(base, { qtype: qint8, scale: tensor(inf) }), 'INVALID_ARGUMENT'],
    ['integer scales', () => quantizeActivation(base, { qtype: qint8, scale: ones([], { dtype: 'int8' }) }), 'DTYPE_MISMATCH'],
    ['float8 scales', () => quantizeActivation(base, { qtype: qint8, scale: ones([], { dtype: 'float8_e5m2' }) }), 'DTYPE_MISMATCH'],
  ] as const)('%s', (_, call, code) => {
    expect(codeOf(call)).toBe(code);
  });
});
