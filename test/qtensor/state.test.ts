import { manualSeed, ones, qint8, quantizeWeight, randn, type Tensor, zeros } from '../../lib';
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
