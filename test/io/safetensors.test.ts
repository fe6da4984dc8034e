import { open, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadSafetensors, openSafetensors, readSafetensorsMetadata, saveSafetensors, type ReadOptions } from '../../lib/io/safetensors';
import { native } from '../../lib/native';
import { tensorFromBytes } from '../../lib/ops/creation';
import { dtypes, type DType } from '../../lib/tensor/dtype';
import { memory } from '../../lib/tensor/device';
import { Tensor } from '../../lib/tensor/tensor';
import { contents, patterned, rawFile, rejection, temporaryFolder } from './support';
import { settledMemory } from '../harness/memory';

const folder = temporaryFolder();
const path = (): string => join(folder(), 'model.safetensors');
const modes: ReadOptions[] = [{ mmap: false }, { mmap: true }];

/** One tensor of each dtype, with odd sizes, and names that are special to JavaScript. */
function everything(): Record<string, Tensor> {
  const tensors = Object.create(null) as Record<string, Tensor>;
  (Object.keys(dtypes) as DType[]).forEach((dtype, i) => {
    tensors[dtype] = patterned(dtype, [3, 5], i);
    tensors[`${dtype}.scalar`] = patterned(dtype, [], i);
    tensors[`${dtype}.empty`] = patterned(dtype, [2, 0, 3]);
  });
  ['__proto__', 'constructor', 'toString', '', '1', '0', 'a/../b', '😀', '"\\\n'].forEach(
    (name, i) => (tensors[name] = patterned('int8', [i + 1], i)),
  );
  return tensors;
}

describe.each(modes)('with %j', (options) => {
  test('what is saved is loaded', async () => {
    const tensors = everything();
    await saveSafetensors(path(), tensors, { format: 'pt' });
    const loaded = await loadSafetensors(path(), options);
    expect(Object.getPrototypeOf(loaded)).toBeNull();
    expect(await contents(loaded)).toEqual(await contents(tensors));
  });

  test('files whose data is not aligned load', async () => {
    const entry = (dtype: string, shape: number[], offsets: number[]): string => JSON.stringify({ dtype, shape, data_offsets: offsets });
    const header = `{"a":${entry('U8', [1], [0, 1])},"b":${entry('F32', [2], [1, 9])},"c":${entry('I64', [1], [9, 17])}}`;
    const data = Buffer.from(Array.from({ length: 17 }, (_, i) => i));
    for (const padding of [0, 1, 2, 3, 4, 5, 6, 7]) {
      await writeFile(path(), rawFile(header + ' '.repeat(padding), data));
      const { a, b, c } = await loadSafetensors(path(), options);
      const bytes = await Promise.all([a, b, c].map((tensor) => tensor.bytes()));
      expect(Buffer.concat(bytes)).toEqual(data);
    }
  });

  test('tensors outlive their file', async () => {
    await saveSafetensors(path(), { w: patterned('float32', [4], 9) });
    const file = await openSafetensors(path(), options);
    const w = await file.tensor('w');
    await file.close();
    await saveSafetensors(path(), { w: patterned('float32', [4], 100) });
    expect([...(await w.bytes())]).toEqual(Array.from({ length: 16 }, (_, i) => 9 + i));
  });

  test('a loaded tensor can be written to, and the file stays', async () => {
    await saveSafetensors(path(), { w: patterned('float32', [2]) });
    const before = await readFile(path());
    const { w } = await loadSafetensors(path(), options);
    native.fillInPlace(w.native, 1);
    expect([...(await w.data())]).toEqual([1, 1]);
    expect((await readFile(path())).equals(before)).toBe(true);
  });

  test('an element type that is not ours is listed, and refused by name when it is read', async () => {
    const header = '{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"w":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}';
    await writeFile(path(), rawFile(header, new Uint8Array(9)));
    const error = await rejection(loadSafetensors(path(), options));
    expect(error.code).toBe('NOT_SUPPORTED');
    expect(error.message).toMatch(/tensor "d" is F64/);
    await using file = await openSafetensors(path(), options);
    expect(file.names()).toEqual(['d', 'w']);
    expect(file.info('d')).toMatchObject({ format: 'F64', shape: [1] });
    expect((await file.tensor('w')).dtype).toBe('uint8');
  });

  test('more dimensions than a tensor has are refused by name', async () => {
    await writeFile(path(), rawFile('{"w":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}', new Uint8Array(1)));
    expect(await rejection(loadSafetensors(path(), options))).toMatchObject({ code: 'NOT_SUPPORTED' });
  });

  test('BOOL bytes beside 0 and 1 are refused', async () => {
    await writeFile(path(), rawFile('{"w":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}', Uint8Array.of(0, 1, 2)));
    expect(await rejection(loadSafetensors(path(), options))).toMatchObject({ code: 'INVALID_FILE' });
  });

  test('a missing file and a folder are IO errors', async () => {
    expect((await rejection(loadSafetensors(join(folder(), 'missing'), options))).code).toBe('IO');
    expect((await rejection(loadSafetensors(folder(), options))).code).toBe('IO');
  });

  test('a failed load frees what it had loaded', async () => {
    const header = '{"a":{"dtype":"U8","shape":[1000],"data_offsets":[0,1000]},"b":{"dtype":"F64","shape":[1],"data_offsets":[1000,1008]}}';
    await writeFile(path(), rawFile(header, new Uint8Array(1008)));
    const before = settledMemory();
    await rejection(loadSafetensors(path(), options));
    native.synchronize(); // a finished read may hold its memory for a moment more
    expect(memory()).toMatchObject({ bytes: before.bytes, tensors: before.tensors });
  });
});

test('reading copies no weight twice: memory rises by the weights alone', async () => {
  const megabyte = 2 ** 20;
  await saveSafetensors(path(), { a: patterned('uint8', [megabyte]), b: patterned('float32', [megabyte / 4]) });
  const before = settledMemory().bytes;
  const loaded = await loadSafetensors(path());
  native.synchronize();
  expect(memory().bytes - before).toBe(2 * megabyte);
  for (const tensor of Object.values(loaded)) tensor.dispose();
  native.synchronize();
  expect(memory().bytes).toBe(before);
});

test('metadata comes without the tensors', async () => {
  await saveSafetensors(path(), {}, { format: 'pt', __proto__x: 'é' });
  expect({ ...(await readSafetensorsMetadata(path())) }).toEqual({ format: 'pt', __proto__x: 'é' });
  expect(await loadSafetensors(path())).toEqual({});
});

test('a name that the file does not have is refused', async () => {
  await saveSafetensors(path(), { w: patterned('int8', [1]) });
  await using file = await openSafetensors(path());
  expect(file.has('w')).toBe(true);
  expect(file.has('toString')).toBe(false);
  expect((await rejection(file.tensor('toString'))).code).toBe('INVALID_ARGUMENT');
});

test('a file cut short after it was opened is an IO error, not a crash', async () => {
  await saveSafetensors(path(), { w: patterned('uint8', [100_000]) });
  await using file = await openSafetensors(path());
  const handle = await open(path(), 'r+');
  await handle.truncate(1000);
  await handle.close();
  expect((await rejection(file.tensor('w'))).code).toBe('IO');
});

test('views are saved row-major', async () => {
  const transposed = Tensor.fromNative(native.permute(patterned('uint8', [2, 3]).native, [1, 0]));
  const { t } = await saveAndLoad({ t: transposed });
  expect(t.shape).toEqual([3, 2]);
  expect([...(await t.bytes())]).toEqual([0, 3, 1, 4, 2, 5]);
});

async function saveAndLoad(tensors: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  await saveSafetensors(path(), tensors);
  return loadSafetensors(path());
}

test('saving twice gives the same bytes', async () => {
  const tensors = everything();
  await saveSafetensors(path(), tensors, { b: '1', a: '2' });
  const first = await readFile(path());
  const reversed = Object.fromEntries(Object.entries(tensors).reverse());
  await saveSafetensors(path(), reversed, { a: '2', b: '1' });
  expect((await readFile(path())).equals(first)).toBe(true);
});

test('a save that fails leaves the old file and nothing else', async () => {
  await saveSafetensors(path(), { w: patterned('int8', [3]) });
  const before = await readFile(path());
  const gone = patterned('int8', [3]);
  const failing = saveSafetensors(path(), { a: patterned('int8', [5]), gone });
  gone.dispose();
  expect((await rejection(failing)).code).toBe('DISPOSED');
  const refused: Record<string, Tensor>[] = [{ w: 3 as unknown as Tensor }, { __metadata__: patterned('int8', [1]) }];
  for (const wrong of refused) {
    expect((await rejection(saveSafetensors(path(), wrong))).code).toBe('INVALID_ARGUMENT');
  }
  expect((await rejection(saveSafetensors(join(folder(), 'no', 'x.safetensors'), {}))).code).toBe('IO');
  expect((await readFile(path())).equals(before)).toBe(true);
  expect(await readdir(folder())).toEqual(['model.safetensors']);
});

test('two saves of one path at once do not mix', async () => {
  const variants = [1, 2, 3, 4, 5, 6].map((seed) => ({ a: patterned('uint8', [200_000], seed), b: patterned('int32', [seed], seed) }));
  await Promise.all(variants.map((tensors) => saveSafetensors(path(), tensors)));
  const saved = await contents(await loadSafetensors(path()));
  const wanted = await Promise.all(variants.map(contents));
  expect(wanted).toContainEqual(saved);
  expect(await readdir(folder())).toEqual(['model.safetensors']);
});

test('the event loop runs while a file is saved and loaded', async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await saveAndLoad({ w: tensorFromBytes(new Uint8Array(2 ** 26), 'uint8', [2 ** 26]) });
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(3);
});
