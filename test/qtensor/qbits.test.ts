import { manualSeed, memory, nn, QBitsTensor, quantizeWeight, randn, tensor, tidy, zeros } from '../../lib';
import { realShift } from '../../lib/qtensor/qbits';
import { codeOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

const sines = (shape: readonly number[]) =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i + 1)),
    { shape },
  );
const bits = (shape: readonly number[], options: Partial<Parameters<typeof quantizeWeight>[1]> = {}) =>
  quantizeWeight(sines(shape), { qtype: 'qint4', ...options }) as QBitsTensor;

// Computed with numpy in float32.
describe('golden vectors', () => {
  it('of 4 bits along the first axis', () => {
    const q = bits([2, 8], { groupSize: 4 });
    expect(q.scale.flatten().allclose(tensor([0.11107333, 0.12988549, 0.09414057, 0.08523405]), { rtol: 1e-7 })).toBe(true);
    expect(q.shift.flatten().allclose(tensor([0.7568025, 0.9589243, 0.9999902, 0.2879033]), { rtol: 1e-7 })).toBe(true);
    expect(q.codes.tolist()).toEqual([
      [14, 15, 8, 0],
      [0, 5, 12, 15],
      [15, 5, 0, 5],
      [8, 15, 11, 0],
    ]);
    expect(q.savedCodes.tolist()).toEqual([
      [254, 95, 8, 80],
      [128, 245, 188, 15],
    ]);
    expect(
      q
        .dequantize()
        .sub(sines([2, 8]))
        .absmax()
        .item(),
    ).toBeCloseTo(0.057285, 6);
  });

  it('of 2 bits', () => {
    const q = bits([2, 8], { qtype: 'qint2', groupSize: 4 });
    expect(q.savedCodes.tolist()).toEqual([[179, 215, 138, 28]]);
  });

  it('of 4 bits along the last axis', () => {
    const q = bits([8, 2], { axis: -1, groupSize: 4 });
    expect(q.scale.flatten().allclose(tensor([0.12002635, 0.11001854, 0.11641072, 0.10230856]), { rtol: 1e-7 })).toBe(true);
    expect(q.savedCodes.tolist()).toEqual([
      [15, 221, 78, 240],
      [217, 240, 240, 48],
    ]);
  });
});

describe('a QBitsTensor', () => {
  it('tells its kind', () => {
    const q = bits([4, 6], { groupSize: 3 });
    expect(q).toBeInstanceOf(QBitsTensor);
    expect(q).toMatchObject({ isQuantized: true, axis: 0, groupSize: 3, shape: [4, 6], dtype: 'float32', device: 'cpu' });
    expect(q.toString()).toMatch(/qtype=qint4, axis=0/);
    expect(q.codes).toMatchObject({ shape: [8, 3], dtype: 'uint8' });
    expect(q.savedCodes.shape).toEqual([4, 3]);
  });

  it.each([
    [[1, 8], 'qint4', undefined],
    [[3, 7], 'qint2', undefined],
    [[5, 12], 'qint4', 4],
    [[4, 2, 3, 3], 'qint2', 9],
    [[4, 2, 3, 3], 'qint4', undefined],
  ] as const)('of %j keeps the values within half a step: %s', (shape, qtype, groupSize) => {
    const src = sines(shape);
    const q = bits(shape, { qtype, groupSize });
    expect(q.dequantize().shape).toEqual([...shape]);
    const steps = q.scale.max().item();
    expect(q.dequantize().sub(src).absmax().item()).toBeLessThanOrEqual(steps / 2 + 1e-6);
  });

  it('is cloned, converted, moved and disposed as a whole', async () => {
    const q = bits([4, 8], { groupSize: 4 });
    const values = q.tolist();
    const copy = q.clone() as QBitsTensor;
    expect(copy).toBeInstanceOf(QBitsTensor);
    expect(q.to('cpu').tolist()).toEqual(values);
    const half = q.to('float16') as QBitsTensor;
    expect(half).toBeInstanceOf(QBitsTensor);
    expect([half.dtype, half.shift.dtype, half.codes.dtype]).toEqual(['float16', 'float16', 'uint8']);
    q.dispose();
    expect(q.isDisposed).toBe(true);
    expect(codeOf(() => q.dequantize())).toBe('DISPOSED');
    expect(copy.tolist()).toEqual(values);
    expect(Array.from((await copy.data()) as Float32Array)).toEqual((values as number[][]).flat());
  });

  it('frees what it makes to compute its values', () => {
    const q = bits([4, 8], { groupSize: 4 });
    const before = memory().tensors;
    tidy(() => void q.dequantize());
    q.values().dispose();
    void q.dataSync();
    expect(memory().tensors).toBe(before);
  });

  it('takes integer shifts as codes of zero', () => {
    const scale = tensor([[0.5], [0.25]]);
    const shift = tensor([[3], [8]], { dtype: 'int8' });
    const src = tensor([
      [-1, 0, 1, 20],
      [-2, 0, 1.6, -20],
    ]);
    const q = quantizeWeight(src, { qtype: 'qint4', scale, shift }) as QBitsTensor;
    expect(q.codes.tolist()).toEqual([
      [1, 3, 5, 15],
      [0, 8, 14, 0],
    ]);
    expect(q.tolist()).toEqual([
      [-1, 0, 1, 6],
      [-2, 0, 1.5, -2],
    ]);
    expect(realShift(q).tolist()).toEqual([[1.5], [2]]);
    expect((q.to('float16') as QBitsTensor).shift.dtype).toBe('int8');
  });

  it('passes gradients straight through', () => {
    const weight = randn([4, 8]);
    weight.requiresGrad = true;
    const factors = randn([4, 8]);
    quantizeWeight(weight, { qtype: 'qint2', groupSize: 4 }).mul(factors).sum().backward();
    expect(weight.grad?.tolist()).toEqual(factors.tolist());
  });

  it('computes what its values do where no rule covers an op', () => {
    const q = bits([4, 8], { groupSize: 4 });
    const x = randn([3, 8]);
    expect(nn.functional.linear(x, q).allclose(nn.functional.linear(x, q.dequantize()), { atol: 1e-5 })).toBe(true);
    expect(q.t().tolist()).toEqual(q.dequantize().t().tolist());
    expect(q.add(1).tolist()).toEqual(q.dequantize().add(1).tolist());
  });

  it('does not take the place of another type', () => {
    const q = bits([4, 8]);
    expect(codeOf(() => q.replaceBy(zeros([4, 8])))).toBe('NOT_SUPPORTED');
    expect(codeOf(() => q.replaceBy(bits([4, 8], { qtype: 'qint2' })))).toBe('NOT_SUPPORTED');
  });
});
