import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import {
  calibration,
  type DType,
  freeze,
  loadQuantized,
  loadSafetensors,
  manualSeed,
  memory,
  nn,
  QLinear,
  QTensor,
  quantizationMap,
  quantize,
  randn,
  requantize,
  saveQuantized,
  saveSafetensors,
  saveTensors,
  synchronize,
  type Tensor,
  zeros,
} from '../../lib';
import { isQModule, type QuantizedModule } from '../../lib/quantize';
import { rejection, temporaryFolder } from '../io/support';
import { childReport, runChild, sanitized } from '../harness/child';
import { codeOf, errorOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

beforeEach(() => {
  manualSeed(1);
});

const folder = temporaryFolder();
const both = { weights: 'qint8', activations: 'qint8' } as const;
const WEIGHTS = 'model.safetensors';
const MAP = 'quanto_qmap.json';
const program = join(__dirname, 'load-peak.ts');
const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;

const build = (dtype: DType = 'float32') =>
  new nn.Sequential(
    new nn.Conv2d(2, 4, 3, { dtype }),
    new nn.Flatten(),
    new nn.Linear(64, 33, { dtype }),
    new nn.LayerNorm(33, { dtype }),
    new nn.ReLU(),
    new nn.Linear(33, 1, { dtype }),
  );
const input = (dtype: DType = 'float32') => randn([3, 2, 6, 6], { dtype });

function quantized(options: { activations?: string } = {}, dtype: DType = 'float32'): nn.Sequential {
  const model = quantize(build(dtype), { weights: 'qint8', ...options });
  if (options.activations !== undefined) calibration(() => model.forward(input(dtype)));
  freeze(model);
  return model;
}

const layout = (tensors: Readonly<Record<string, Tensor>>) =>
  Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(', ')}]`]));
const quantizedNames = (model: nn.Module) => Object.keys(quantizationMap(model));
const bits = (model: nn.Module, x: Tensor) => model.forward(x).bytesSync();

describe('saveQuantized', () => {
  it('writes the names, types and shapes of the original', async () => {
    await saveQuantized(quantized(both), folder());
    expect((await readdir(folder())).sort()).toEqual([WEIGHTS, MAP]);
    const tensors = await loadSafetensors(join(folder(), WEIGHTS));
    expect(layout(tensors)).toEqual({
      '0.weight._data': 'int8 [4, 2, 3, 3]',
      '0.weight._scale': 'float32 [4, 1, 1, 1]',
      '0.bias': 'float32 [4]',
      '0.input_scale': 'float32 []',
      '0.output_scale': 'float32 []',
      '2.weight._data': 'int8 [33, 64]',
      '2.weight._scale': 'float32 [33, 1]',
      '2.bias': 'float32 [33]',
      '2.input_scale': 'float32 []',
      '2.output_scale': 'float32 []',
      '3.weight': 'float32 [33]',
      '3.bias': 'float32 [33]',
      '3.input_scale': 'float32 []',
      '3.output_scale': 'float32 []',
      // One row has one scale.
      '5.weight._data': 'int8 [1, 33]',
      '5.weight._scale': 'float32 []',
      '5.bias': 'float32 [1]',
      '5.input_scale': 'float32 []',
      '5.output_scale': 'float32 []',
    });
    // Streamline keeps what goes through views and relu into a linear layer; the others say 1.
    const used = Object.entries(tensors).filter(([name]) => name.endsWith('output_scale'));
    expect(used.map(([name, scale]) => [name, scale.item() !== 1])).toEqual(
      expect.arrayContaining([
        ['0.output_scale', true],
        ['2.output_scale', false],
        ['3.output_scale', true],
        ['5.output_scale', false],
      ]),
    );
    const map = await readFile(join(folder(), MAP), 'utf8');
    expect(JSON.parse(map)).toEqual({
      0: both,
      2: both,
      3: { weights: 'none', activations: 'qint8' },
      5: both,
    });
    expect(map).toMatch(/^\{\n {4}"0": \{\n {8}"weights": "qint8",/);
  });

  it.each(['float16', 'bfloat16'] as const)('keeps the dtype of a %s model', async (dtype) => {
    await saveQuantized(quantized({}, dtype), folder());
    const types = Object.values(await loadSafetensors(join(folder(), WEIGHTS))).map((tensor) => tensor.dtype);
    expect(new Set(types)).toEqual(new Set(['int8', dtype]));
  });

  it('writes the config of a model that has one', async () => {
    const model = quantized();
    Object.assign(model, { config: { model_type: 'test', hidden_size: 33 } });
    await saveQuantized(model, join(folder(), 'new', 'folder'));
    const text = await readFile(join(folder(), 'new', 'folder', 'config.json'), 'utf8');
    expect(JSON.parse(text)).toEqual({ model_type: 'test', hidden_size: 33 });
  });

  it('refuses a model that is not quantized, and a path that cannot be a folder', async () => {
    expect((await rejection(saveQuantized(build(), folder()))).code).toBe('INVALID_ARGUMENT');
    expect(await readdir(folder())).toEqual([]);
    await writeFile(join(folder(), 'file'), '');
    expect((await rejection(saveQuantized(quantized(), join(folder(), 'file')))).code).toBe('IO');
  });
});

describe('loadQuantized', () => {
  it.each([
    ['float32', undefined],
    ['float32', 'qint8'],
    ['float16', 'qint8'],
    ['bfloat16', 'qint8'],
    ['float32', 'qfloat8'],
  ] as const)('gives a model that computes the same bits (%s, activations %s)', async (dtype, activations) => {
    const model = quantized({ activations }, dtype);
    await saveQuantized(model, folder());
    const float = build(dtype);
    const loaded = await loadQuantized(float, folder());
    expect(loaded).toBe(float);
    for (let i = 0; i < 3; i++) {
      const x = input(dtype);
      expect(bits(loaded, x)).toEqual(bits(model, x));
    }
    expect({ ...quantizationMap(loaded) }).toEqual({ ...quantizationMap(model) });
    const flags = (root: nn.Module) =>
      root
        .modules()
        .filter(isQModule)
        .map(({ calibrated, outputQuantized, frozen }) => [calibrated.input, calibrated.output && outputQuantized, frozen]);
    expect(flags(loaded)).toEqual(flags(model));
  });

  it('saves what it loaded, byte for byte', async () => {
    await saveQuantized(quantized(both), folder());
    const copy = join(folder(), 'copy');
    await saveQuantized(await loadQuantized(build(), folder()), copy);
    for (const file of [WEIGHTS, MAP]) expect(await readFile(join(copy, file))).toEqual(await readFile(join(folder(), file)));
  });

  it('leaves the memory of the model alone behind', async () => {
    const model = quantize(new nn.Sequential(new nn.Linear(256, 256)), { weights: 'qint8' });
    freeze(model);
    await saveQuantized(model, folder());
    const float = new nn.Sequential(new nn.Linear(256, 256));
    synchronize();
    const before = settledMemory().bytes;
    await loadQuantized(float, folder());
    synchronize();
    // The float weight waits for the garbage collector; beside it there are only the integers, once.
    expect(memory().bytes - before).toBeLessThan(1.1 * 256 * 256);
  });

  // A sanitizer keeps freed memory for a while.
  (sanitized ? it.skip : it)('never needs much more memory than the size of the file', async () => {
    const sizes = [folder(), '96', '1024'];
    expect((await runChild(program, ['write', ...sizes])).status).toBe(0);
    const { fileBytes, accountedBytes, residentBytes } = await childReport<Record<string, number>>(program, ['load', ...sizes]);
    expect(fileBytes).toBeGreaterThan(100e6);
    expect(accountedBytes).toBeLessThanOrEqual(1.3 * fileBytes);
    // JavaScript takes some, whatever the size of the model.
    expect(residentBytes).toBeLessThanOrEqual(1.3 * fileBytes + 32 * 2 ** 20);
  });

  it('leaves the model as it was when a tensor cannot be read after others were', async () => {
    await saveQuantized(quantized(), folder());
    const state = await loadSafetensors(join(folder(), WEIGHTS));
    await saveTensors(folder(), state, { maxShardBytes: 2000 });
    const shards = (await readdir(folder())).filter((name) => /-of-/.test(name)).sort();
    expect(shards.length).toBeGreaterThan(1);
    await unlink(join(folder(), shards[shards.length - 1]));
    const model = build();
    const before = bits(model, zeros([1, 2, 6, 6]));
    synchronize();
    const { tensors } = settledMemory();
    expect((await rejection(loadQuantized(model, folder()))).code).toBe('IO');
    expect(settledMemory().tensors).toBeLessThanOrEqual(tensors);
    expect(quantizedNames(model)).toEqual([]);
    expect(bits(model, zeros([1, 2, 6, 6]))).toEqual(before);
  });

  it('outlives its files', async () => {
    const model = quantized();
    await saveQuantized(model, folder());
    const loaded = await loadQuantized(build(), folder());
    await rm(join(folder(), WEIGHTS));
    const x = input();
    expect(bits(loaded, x)).toEqual(bits(model, x));
  });

  it('loads a model that was saved before it was frozen, to tune it further', async () => {
    const model = quantize(build(), both);
    calibration(() => model.forward(input()));
    await saveQuantized(model, folder());
    const loaded = await loadQuantized(build(), folder());
    expect(asQuantized(loaded[2]).frozen).toBe(false);
    const x = input();
    expect(bits(loaded, x)).toEqual(bits(model, x));
    loaded.forward(x).sum().backward();
    expect((loaded[2] as nn.Linear).weight.grad?.shape).toEqual([33, 64]);
  });

  it('gives the quantized form of a model that is itself such a module', async () => {
    const layer = quantize(new nn.Linear(8, 4), { weights: 'qint8' });
    freeze(layer);
    await saveQuantized(layer, folder());
    const loaded = await loadQuantized(new nn.Linear(8, 4), folder());
    expect(loaded).toBeInstanceOf(QLinear);
    const x = randn([2, 8]);
    expect(bits(loaded, x)).toEqual(bits(layer, x));
  });

  it('keeps a calibrated scale of exactly 1', async () => {
    const layer = quantize(new nn.Sequential(new nn.Linear(2, 2)), both);
    const x = randn([5, 2])
      .clamp(-1, 1)
      .mul(100)
      .cat([zeros([1, 2]).add(127)]);
    calibration(() => layer.forward(x));
    expect(asQuantized(layer[0]).input_scale.item()).toBe(1);
    await saveQuantized(layer, folder());
    const loaded = await loadQuantized(new nn.Sequential(new nn.Linear(2, 2)), folder());
    expect(asQuantized(loaded[0]).calibrated.input).toBe(true);
    expect(loaded.forward(x).allclose(layer.forward(x), { atol: 0, rtol: 1e-6 })).toBe(true);
  });

  it('takes a map that spells the usual float8 by its short name', async () => {
    const model = quantize(build(), { weights: 'qfloat8' });
    freeze(model);
    await saveQuantized(model, folder());
    const map = (await readFile(join(folder(), MAP), 'utf8')).replaceAll('qfloat8_e4m3fn', 'qfloat8');
    await writeFile(join(folder(), MAP), map);
    const x = input();
    expect(bits(await loadQuantized(build(), folder()), x)).toEqual(bits(model, x));
  });
});

describe('a file that does not fit', () => {
  /** Saves a model with other tensors or another map, and loads it. */
  async function change(tensors: (state: Record<string, Tensor>) => void): Promise<void> {
    await saveQuantized(quantized(), folder());
    const path = join(folder(), WEIGHTS);
    const state = { ...(await loadSafetensors(path)) };
    tensors(state);
    await saveSafetensors(path, state);
  }

  it.each([
    ['a missing scale', (state: Record<string, Tensor>) => delete state['2.weight._scale'], /missing keys: 2\.weight\._scale/],
    ['missing codes', (state: Record<string, Tensor>) => delete state['2.weight._data'], /missing keys: 2\.weight\._data/],
    ['a missing bias', (state: Record<string, Tensor>) => delete state['2.bias'], /missing keys: 2\.bias/],
    ['a tensor too many', (state: Record<string, Tensor>) => (state.extra = zeros([2])), /unexpected keys: extra/],
  ])('is refused for %s, unless it is not strict', async (_, edit, message) => {
    await change(edit);
    const model = build();
    const before = bits(model, zeros([1, 2, 6, 6]));
    const error = await rejection(loadQuantized(model, folder()));
    expect([error.code, message.test(error.message)]).toEqual(['STATE_DICT', true]);
    // The model is as it was: float, with its own weights.
    expect(quantizedNames(model)).toEqual([]);
    expect(bits(model, zeros([1, 2, 6, 6]))).toEqual(before);
    await loadQuantized(model, folder(), { strict: false });
    expect(quantizedNames(model)).toEqual(['0', '2', '5']);
  });

  it.each([
    ['codes of another shape', '2.weight._data', () => zeros([33, 65], { dtype: 'int8' })],
    ['codes of another type', '2.weight._data', () => zeros([33, 64])],
    ['codes that are flat', '2.weight._data', () => zeros([33 * 64], { dtype: 'int8' })],
    ['a scale of another shape', '2.weight._scale', () => zeros([33])],
    ['integer scales', '2.weight._scale', () => zeros([33, 1], { dtype: 'int32' })],
    ['a bias of another shape', '2.bias', () => zeros([32])],
    ['an input scale with dimensions', '2.input_scale', () => zeros([1])],
  ] as const)('is refused for %s, strict or not', async (_, name, tensor) => {
    await change((state) => (state[name] = tensor()));
    for (const strict of [true, false]) {
      const model = build();
      const error = await rejection(loadQuantized(model, folder(), { strict }));
      expect([error.code, error.message.includes(name)]).toEqual(['STATE_DICT', true]);
      expect(quantizedNames(model)).toEqual([]);
    }
  });

  it('is refused where the weights are damaged', async () => {
    await saveQuantized(quantized(), folder());
    const path = join(folder(), WEIGHTS);
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 10));
    const model = build();
    expect((await rejection(loadQuantized(model, folder()))).code).toBe('INVALID_FILE');
    await unlink(path);
    expect((await rejection(loadQuantized(model, folder()))).code).toBe('IO');
    expect(quantizedNames(model)).toEqual([]);
  });

  it('is refused by a model of another architecture', async () => {
    await saveQuantized(quantized(), folder());
    const error = await rejection(loadQuantized(new nn.Sequential(new nn.Linear(2, 2)), folder()));
    expect(error.code).toBe('STATE_DICT');
    const wider = build();
    wider.setSubmodule('2', new nn.Linear(64, 34));
    expect((await rejection(loadQuantized(wider, folder()))).code).toBe('STATE_DICT');
  });
});

describe('a map that is missing or hostile', () => {
  const entry = (weights: unknown, activations: unknown = 'none') => JSON.stringify({ 2: { weights, activations } });

  it.each([
    ['no JSON', '{', 'INVALID_FILE'],
    ['nothing', '', 'INVALID_FILE'],
    ['null', 'null', 'INVALID_FILE'],
    ['an array', '[]', 'INVALID_FILE'],
    ['a number', '7', 'INVALID_FILE'],
    ['an entry that is a string', '{"2": "qint8"}', 'INVALID_FILE'],
    ['an entry that is null', '{"2": null}', 'INVALID_FILE'],
    ['an entry without activations', '{"2": {"weights": "qint8"}}', 'INVALID_FILE'],
    ['types that are objects', entry({}), 'INVALID_FILE'],
    ['types that are numbers', entry(8, 8), 'INVALID_FILE'],
    ['an unknown type', entry('int8'), 'INVALID_FILE'],
    ['a type named as a property of objects', entry('constructor', 'toString'), 'INVALID_FILE'],
    ['a type of another file', entry('qint4'), 'STATE_DICT'],
    ['a type that activations cannot have', entry('qint8', 'qint4'), 'NOT_SUPPORTED'],
    ['a module that the model does not have', '{"7": {"weights": "qint8", "activations": "none"}}', 'STATE_DICT'],
    ['a module that has no quantized form', '{"4": {"weights": "qint8", "activations": "none"}}', 'STATE_DICT'],
    ['a module named __proto__', '{"__proto__": {"weights": "qint8", "activations": "none"}}', 'STATE_DICT'],
    ['a module named constructor', '{"constructor": {"weights": "qint8", "activations": "none"}}', 'STATE_DICT'],
    ['other modules than the weights', entry('qint8'), 'STATE_DICT'],
    ['other types than the weights', entry('qfloat8'), 'STATE_DICT'],
    ['no modules at all', '{}', 'STATE_DICT'],
  ])('%s', async (_, text, code) => {
    await saveQuantized(quantized(), folder());
    await writeFile(join(folder(), MAP), text);
    const model = build();
    const error = await rejection(loadQuantized(model, folder()));
    expect(error.code).toBe(code);
    expect(quantizedNames(model)).toEqual([]);
    expect(({} as { weights?: unknown }).weights).toBeUndefined();
  });

  it('that is missing is asked for by its name', async () => {
    await saveSafetensors(join(folder(), WEIGHTS), build().stateDict());
    const error = await rejection(loadQuantized(build(), folder()));
    expect(error.code).toBe('IO');
    expect(error.message).toMatch(/quanto_qmap\.json.*is this a quantized model\?/);
  });
});

describe('requantize', () => {
  it('loads a state dict and a map that are at hand', () => {
    const model = quantized(both);
    const float = build();
    const result = requantize(float, model.stateDict(), quantizationMap(model));
    expect(result).toEqual({ missingKeys: [], unexpectedKeys: [], model: float });
    const x = input();
    expect(bits(float, x)).toEqual(bits(model, x));
  });

  it('is not strict unless asked, as in the original', () => {
    const model = quantized();
    const { '2.bias': bias, ...rest } = model.stateDict();
    const state = { ...rest, extra: bias };
    expect(requantize(build(), state, quantizationMap(model))).toMatchObject({ missingKeys: ['2.bias'], unexpectedKeys: ['extra'] });
    const float = build();
    expect(codeOf(() => requantize(float, state, quantizationMap(model), { strict: true }))).toBe('STATE_DICT');
    expect(quantizedNames(float)).toEqual([]);
  });

  it('gives the quantized form of a model that is itself such a module', () => {
    const layer = quantize(new nn.Linear(8, 4), { weights: 'qint8' });
    freeze(layer);
    const { model } = requantize(new nn.Linear(8, 4), layer.stateDict(), quantizationMap(layer));
    expect(model).toBeInstanceOf(QLinear);
    expect(model.weight).toBeInstanceOf(QTensor);
  });

  it('loads into a model that is quantized the same way, and refuses one that is not', () => {
    const model = quantized();
    const same = quantize(build(), { weights: 'qint8' });
    requantize(same, model.stateDict(), quantizationMap(model));
    const x = input();
    expect(bits(same, x)).toEqual(bits(model, x));
    const other = quantize(build(), { weights: 'qfloat8' });
    expect(errorOf(() => requantize(other, model.stateDict(), quantizationMap(model))).message).toMatch(
      /expected '0' with weights qint8 and activations none but found weights qfloat8_e4m3fn and activations none/,
    );
  });

  it('moves the model where asked', () => {
    const model = quantized();
    const { model: moved } = requantize(build(), model.stateDict(), quantizationMap(model), { device: 'cpu' });
    expect(moved.parameters().every(({ device }) => device === 'cpu')).toBe(true);
    expect(codeOf(() => requantize(build(), model.stateDict(), quantizationMap(model), { device: 'nowhere' }))).toMatch(
      /DEVICE_UNAVAILABLE|INVALID_ARGUMENT/,
    );
  });
});

test('a process killed while it saves leaves a whole model, old or new', async () => {
  const directory = join(folder(), 'model');
  const child = spawn(process.execPath, ['-r', 'ts-node/register/transpile-only', resolve(__dirname, 'crash-writer.ts'), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // It has saved once; chance decides where the signal meets it.
  await once(child.stdout, 'data');
  await new Promise((done) => setTimeout(done, 20));
  child.kill('SIGKILL');
  await once(child, 'close');
  const bare = () => new nn.Linear(512, 512, { bias: false });
  const model = await loadQuantized(new nn.Sequential(bare(), bare()), directory);
  const [first, second] = [...model].map((layer) => (layer as nn.Linear).weight);
  const round = first.select(0, 0).select(0, 0).item();
  expect(round).toBeGreaterThanOrEqual(1);
  expect(first.sub(round).absmax().item()).toBeLessThan(1e-3);
  expect(second.equal(first)).toBe(true);
});

describe('shards and second names', () => {
  it('a model in shards loads, and one saved whole in its place removes them', async () => {
    const model = quantized();
    await saveQuantized(model, folder(), { maxShardBytes: 1000 });
    expect((await readdir(folder())).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(1);
    const x = input();
    const loaded = await loadQuantized(build(), folder());
    expect(loaded.forward(x).bytesSync()).toEqual(model.forward(x).bytesSync());
    await saveQuantized(model, folder());
    expect((await readdir(folder())).filter((name) => name.endsWith('.safetensors'))).toEqual([WEIGHTS]);
  });

  it('the map may have the name that the original gives it beside a state dict', async () => {
    const model = quantized();
    await saveQuantized(model, folder());
    await writeFile(join(folder(), 'quantization_map.json'), await readFile(join(folder(), MAP)));
    await unlink(join(folder(), MAP));
    const x = input();
    const loaded = await loadQuantized(build(), folder());
    expect(loaded.forward(x).bytesSync()).toEqual(model.forward(x).bytesSync());
  });
});
