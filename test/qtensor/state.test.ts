import { manualSeed, MaxOptimizer, ones, type QBitsTensor, qint4, qint8, quantizeWeight, randn, type Tensor, zeros } from '../../lib';
import { loadQTensor, packForGemm, type QTensor, saveQTensor } from '../../lib/qtensor';

beforeEach(() => {
  manualSeed(1);
});

const find = (state: Readonly<Record<string, Tensor>>) => (key: string) => state[key] ?? null;
const load = (state: Readonly<Record<string, Tensor>>, shape: readonly number[]) =>
  loadQTensor('fc.weight.', { qtype: qint8, shape, find: find(state) });

describe('the parts of a quantized tensor', () => {
  it('are saved under their names, codes in rows', () => {
    const weight = packForGemm(quantizeWeight(randn([3, 40]), { qtype: qint8 }));
    const state = saveQTensor(weight, 'fc.weight.');
    expect(Object.keys(state)).toEqual(['fc.weight._data', 'fc.weight._scale']);
    expect(state['fc.weight._data'].dtype).toBe('int8');
    expect(state['fc.weight._data'].shape).toEqual([3, 40]);
    expect(state['fc.weight._scale'].shape).toEqual([3, 1]);
    expect(state['fc.weight._data'].tolist()).toEqual(weight.codes.tolist());
  });

  it.each([
    ['a matrix', [3, 8], 0, [3, 1]],
    ['one row, which has one scale', [1, 8], null, []],
    ['a kernel', [4, 2, 3, 3], 0, [4, 1, 1, 1]],
  ] as const)('of %s make it again', (_, shape, axis, scaleShape) => {
    const weight = quantizeWeight(randn(shape), { qtype: qint8 });
    const loaded = load(saveQTensor(weight, 'fc.weight.'), shape) as QTensor;
    expect(loaded.axis).toBe(axis);
    expect(loaded.scale.shape).toEqual(scaleShape);
    expect(loaded.codes.tolist()).toEqual(weight.codes.tolist());
    expect(loaded.tolist()).toEqual(weight.tolist());
  });

  it('may be missing', () => {
    expect(load({}, [3, 8])).toBeNull();
    expect(load({ 'fc.weight._data': zeros([3, 8], { dtype: 'int8' }) }, [3, 8])).toBeNull();
  });

  const codes = zeros([3, 8], { dtype: 'int8' });
  it.each([
    ['codes of another dtype', zeros([3, 8]), ones([3, 1]), 'fc.weight._data expects int8 [3, 8] but got float32 [3, 8]'],
    ['codes of another shape', zeros([3, 9], { dtype: 'int8' }), ones([3, 1]), 'fc.weight._data expects int8 [3, 8] but got int8 [3, 9]'],
    ['a scale of another shape', codes, ones([3]), 'fc.weight._scale expects shape [3, 1] but got [3]'],
    ['one scale for all', codes, ones([]), 'fc.weight._scale expects shape [3, 1] but got []'],
    ['integer scales', codes, ones([3, 1], { dtype: 'int32' }), 'fc.weight._scale expects float32, float16 or bfloat16 but got int32'],
  ])('that do not fit are refused: %s', (_, data, scale, reason) => {
    expect(load({ 'fc.weight._data': data, 'fc.weight._scale': scale }, [3, 8])).toBe(reason);
  });
});

describe('the parts of a tensor of less than 8 bits', () => {
  const loadBits = (state: Readonly<Record<string, Tensor>>, shape: readonly number[], qtype = qint4) =>
    loadQTensor('w.', { qtype, shape, find: find(state) });

  it.each([
    [[4, 64], 16, [8, 16], [16, 1]],
    [[4, 64], undefined, [2, 64], [4, 1]],
    [[5, 6], undefined, [3, 6], [5, 1]],
    [[1, 8], undefined, [1, 8], [1, 1]],
    [[4, 2, 3, 3], undefined, [2, 2, 3, 3], [4, 1, 1, 1]],
    [[4, 4, 3, 3], 9, [8, 9], [16, 1]],
  ] as const)('of %j in groups of %s make it again', (shape, groupSize, codes, scales) => {
    for (const optimizer of [new MaxOptimizer(), new MaxOptimizer({ zeroPoint: true })]) {
      const weight = quantizeWeight(randn(shape), { qtype: qint4, groupSize, optimizer });
      const state = saveQTensor(weight, 'w.');
      expect(Object.fromEntries(Object.entries(state).map(([key, part]) => [key, part.shape]))).toEqual({
        'w._data._data': codes,
        'w._scale': scales,
        'w._shift': scales,
      });
      const loaded = loadBits(state, shape) as QBitsTensor;
      expect(loaded.tolist()).toEqual(weight.tolist());
      expect(loaded.layout).toEqual((weight as QBitsTensor).layout);
    }
  });

  const good = () => saveQTensor(quantizeWeight(randn([4, 64]), { qtype: qint4, groupSize: 16 }), 'w.');
  it.each([
    ['groups that do not divide', { 'w._scale': zeros([12, 1]) }, /groups that divide/],
    ['no groups', { 'w._scale': zeros([0, 1]) }, /groups that divide/],
    ['a scale without dims', { 'w._scale': zeros([]) }, /groups that divide/],
    ['another shape of the shift', { 'w._shift': zeros([4, 1]) }, /_shift expects shape \[16, 1\]/],
    ['bytes of another shape', { 'w._data._data': zeros([4, 16], { dtype: 'uint8' }) }, /_data\._data expects uint8 \[8, 16\]/],
    ['bytes of another dtype', { 'w._data._data': zeros([8, 16], { dtype: 'int8' }) }, /_data\._data expects uint8/],
    ['a scale of integers', { 'w._scale': zeros([16, 1], { dtype: 'int32' }) }, /_scale expects float32/],
    ['a shift of another dtype', { 'w._shift': zeros([16, 1], { dtype: 'float16' }) }, /_shift expects float32, uint8 or int8/],
  ])('do not fit: %s', (_, wrong, message) => {
    expect(loadBits({ ...good(), ...wrong }, [4, 64])).toMatch(message);
  });

  it('may be missing', () => {
    const { 'w._shift': shift, ...rest } = good();
    expect(shift.shape).toEqual([16, 1]);
    expect(loadBits(rest, [4, 64])).toBeNull();
  });
});
