import { join } from 'node:path';

import {
  freeze,
  loadQuantized,
  loadSafetensors,
  manualSeed,
  nn,
  type QBitsTensor,
  quantizationMap,
  quantize,
  randn,
  saveSafetensors,
  type Tensor,
  tensor,
  zeros,
} from '../../lib';
import { mapOfMetadata, withShifts } from '../../lib/quantize/old-layout';
import { rejection, temporaryFolder } from '../io/support';

beforeEach(() => {
  manualSeed(1);
});

const folder = temporaryFolder();
const build = () => new nn.Sequential(new nn.Linear(160, 24), new nn.ReLU(), new nn.Linear(24, 8), new nn.LayerNorm(8));
const FILE = 'old.safetensors';

/** What optimum-quanto 0.2.0 wrote of a model whose first layer has 4 bits and whose second 8: groups of 80, integer zero points. */
async function writeOld(): Promise<{ first: number[][]; tensors: Record<string, Tensor> }> {
  const codes = Array.from({ length: 48 * 80 }, (_, i) => (i * 7) % 16);
  const scale = Array.from({ length: 48 }, (_, i) => 0.01 * (i + 1));
  const zero = Array.from({ length: 48 }, (_, i) => i % 16);
  const bytes = Uint8Array.from({ length: 24 * 80 }, (_, i) => codes[i] | (codes[i + 24 * 80] << 4));
  const tensors = {
    '0.weight._data._data': tensor(bytes, { shape: [24, 80] }),
    '0.weight._scale': tensor(scale.map((value) => [value])),
    '0.weight._zeropoint': tensor(Int8Array.from(zero), { shape: [48, 1] }),
    '0.bias': randn([24]),
    '2.weight._data': tensor(
      Int8Array.from({ length: 8 * 24 }, (_, i) => (i % 255) - 127),
      { shape: [8, 24] },
    ),
    '2.weight._scale': tensor([1, 2, 3, 4, 5, 6, 7, 8].map((value) => [value / 100])),
    '2.bias': randn([8]),
    '3.weight': randn([8]),
    '3.bias': randn([8]),
    ...Object.fromEntries(['0', '2', '3'].flatMap((m) => [`${m}.input_scale`, `${m}.output_scale`].map((key) => [key, tensor(0.5)]))),
  };
  const metadata = {
    ...Object.fromEntries(['0', '2', '3'].map((m) => [`${m}.activation_qtype`, 'qint8'])),
    '0.weight_qtype': 'qint4',
    '2.weight_qtype': 'qint8',
    '3.weight_qtype': 'none',
    '0.weight.qtype': 'qint4',
    '0.weight.axis': '0',
    '0.weight.group_size': '80',
    '0.weight.size': '[24, 160]',
    '0.weight._data.bits': '4',
  };
  await saveSafetensors(join(folder(), FILE), tensors, metadata);
  const values = codes.map((code, i) => {
    const row = Math.floor(i / 80);
    return Math.fround(Math.fround(scale[row]) * (code - zero[row]));
  });
  return { first: Array.from({ length: 24 }, (_, o) => values.slice(o * 160, (o + 1) * 160)), tensors };
}

describe('files of optimum-quanto before 0.2.3', () => {
  it.each(['the folder', 'the file'])('load by their metadata, from the path of %s', async (what) => {
    const { first, tensors } = await writeOld();
    const model = await loadQuantized(build(), what === 'the file' ? join(folder(), FILE) : folder());
    expect({ ...quantizationMap(model) }).toEqual({
      0: { weights: 'qint4', activations: 'qint8' },
      2: { weights: 'qint8', activations: 'qint8' },
      3: { weights: 'none', activations: 'qint8' },
    });
    const weight = (model[0] as unknown as { weight: QBitsTensor }).weight;
    expect(weight.tolist()).toEqual(first);
    expect(weight.groupSize).toBe(80);
    // Saved again, the tensors are the same; the zero point has the name of today.
    const state = model.stateDict();
    expect(state['0.weight._shift'].dtype).toBe('int8');
    expect(state['0.weight._shift'].tolist()).toEqual(tensors['0.weight._zeropoint'].tolist());
    expect(state['0.weight._data._data'].tolist()).toEqual(tensors['0.weight._data._data'].tolist());
  });

  it('are no quantized model without types in their metadata', async () => {
    const model = quantize(build(), { weights: 'qint8' });
    freeze(model);
    await saveSafetensors(join(folder(), FILE), model.stateDict(), { format: 'pt' });
    expect((await rejection(loadQuantized(build(), folder()))).code).toBe('IO');
    await saveSafetensors(join(folder(), FILE), model.stateDict(), { '0.weight_qtype': 'int8' });
    expect((await rejection(loadQuantized(build(), folder()))).code).toBe('INVALID_FILE');
    expect(Object.keys(await loadSafetensors(join(folder(), FILE)))).toContain('0.weight._data');
  });
});

test('metadata without types gives no map', () => {
  expect(mapOfMetadata({ format: 'pt' })).toBeNull();
  expect({ ...mapOfMetadata({ 'a.b.weight_qtype': 'qint2' }) }).toEqual({ 'a.b': { weights: 'qint2', activations: 'none' } });
});

test('a state dict of today stays as it is', () => {
  const state = { 'fc.weight._shift': zeros([1]) };
  expect(withShifts(state)).toBe(state);
  expect(Object.keys(withShifts({ 'fc.weight._zeropoint': zeros([1]), 'fc.bias': zeros([1]) }))).toEqual(['fc.weight._shift', 'fc.bias']);
});
