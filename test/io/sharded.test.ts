import { mkdir, readFile, readdir, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsMetadata, saveSafetensors } from '../../lib/io/safetensors';
import { loadTensors, openTensors, saveTensors } from '../../lib/io/sharded';
import { native } from '../../lib/native';
import type { Tensor } from '../../lib/tensor/tensor';
import { contents, patterned, rejection, temporaryFolder } from './support';
import { settledMemory } from '../harness/memory';

const folder = temporaryFolder();
const model = (): string => join(folder(), 'model');
const inModel = (name: string): string => join(model(), name);

/** Four tensors of 40 bytes and one of 400. */
function sample(seed = 0): Record<string, Tensor> {
  const small = ['a', 'b', '__proto__', 'd'].map((name, i): [string, Tensor] => [name, patterned('float32', [10], seed + i)]);
  return Object.fromEntries([...small, ['large', patterned('int32', [100], seed)]]);
}

const SHARDS = ['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors'];
const INDEX = 'model.safetensors.index.json';

test('what is saved in shards is loaded, from the folder and from the index', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80, metadata: { format: 'pt' } });
  expect((await readdir(model())).sort()).toEqual([...SHARDS, INDEX]);
  const index = JSON.parse(await readFile(inModel(INDEX), 'utf8')) as { metadata: unknown; weight_map: object };
  expect(index.metadata).toEqual({ total_size: 560 });
  expect(Object.entries(index.weight_map)).toEqual([
    ['__proto__', SHARDS[1]],
    ['a', SHARDS[0]],
    ['b', SHARDS[0]],
    ['d', SHARDS[1]],
    ['large', SHARDS[2]],
  ]);
  for (const shard of SHARDS) expect({ ...(await readSafetensorsMetadata(inModel(shard))) }).toEqual({ format: 'pt' });
  const wanted = await contents(sample());
  for (const path of [model(), inModel(INDEX)]) expect(await contents(await loadTensors(path))).toEqual(wanted);
  expect(await contents(await loadTensors(model(), { mmap: true }))).toEqual(wanted);
});

test('what fits in one file is one file', async () => {
  await saveTensors(model(), sample());
  expect(await readdir(model())).toEqual(['model.safetensors']);
  const wanted = await contents(sample());
  for (const path of [model(), inModel('model.safetensors')]) expect(await contents(await loadTensors(path))).toEqual(wanted);
});

test.each([
  ['one file', 'three shards', undefined, 80],
  ['three shards', 'one file', 80, undefined],
  ['three shards', 'three shards', 80, 80],
  ['three shards', 'five shards', 80, 1],
])('saving replaces %s by %s', async (_, __, first, second) => {
  await saveTensors(model(), sample(1), { maxShardBytes: first });
  await writeFile(inModel('config.json'), '{}');
  await saveTensors(model(), sample(2), { maxShardBytes: second });
  expect(await contents(await loadTensors(model()))).toEqual(await contents(sample(2)));
  await saveTensors(join(folder(), 'fresh'), sample(2), { maxShardBytes: second });
  expect((await readdir(model())).filter((name) => name !== 'config.json').sort()).toEqual((await readdir(join(folder(), 'fresh'))).sort());
});

test('a save that fails leaves the old model and nothing else', async () => {
  await saveTensors(model(), sample(1), { maxShardBytes: 80 });
  const before = await readdir(model());
  const tensors = sample(2);
  const failing = saveTensors(model(), tensors, { maxShardBytes: 80 });
  tensors['large'].dispose();
  expect((await rejection(failing)).code).toBe('DISPOSED');
  expect(await readdir(model())).toEqual(before);
  expect(await contents(await loadTensors(model()))).toEqual(await contents(sample(1)));
  expect((await rejection(saveTensors(model(), {}, { maxShardBytes: 0 }))).code).toBe('INVALID_ARGUMENT');
  await writeFile(join(folder(), 'file'), '');
  expect((await rejection(saveTensors(join(folder(), 'file'), {}))).code).toBe('IO');
});

test('saves of one folder at once do not mix', async () => {
  const seeds = [1, 2, 3, 4, 5];
  await Promise.all(seeds.map((seed) => saveTensors(model(), sample(seed), { maxShardBytes: 80 })));
  expect(await Promise.all(seeds.map((seed) => contents(sample(seed))))).toContainEqual(await contents(await loadTensors(model())));
  expect((await readdir(model())).sort()).toEqual([...SHARDS, INDEX]);
});

test('shards are opened as their tensors are read', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80 });
  await unlink(inModel(SHARDS[2]));
  await using source = await openTensors(model());
  expect(source.names().sort()).toEqual(Object.keys(sample()).sort());
  expect([...(await (await source.tensor('a')).bytes())].slice(0, 2)).toEqual([0, 1]);
  expect((await rejection(source.tensor('large'))).code).toBe('IO');
  expect((await rejection(source.tensor('toString'))).code).toBe('INVALID_ARGUMENT');
  // Reads of several shards at once.
  await Promise.all(['a', 'd', 'b', '__proto__'].map((name) => source.tensor(name)));
});

test('a missing shard is an IO error that names it', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80 });
  await unlink(inModel(SHARDS[1]));
  const error = await rejection(loadTensors(model()));
  expect(error.code).toBe('IO');
  expect(error.message).toContain(SHARDS[1]);
});

test('a tensor that its shard does not have is an invalid file', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80 });
  await saveSafetensors(inModel(SHARDS[1]), { d: patterned('int8', [1]) });
  const error = await rejection(loadTensors(model()));
  expect(error.code).toBe('INVALID_FILE');
  expect(error.message).toMatch(/expected tensor "__proto__" in model-00002-of-00003.safetensors/);
});

test('an index cannot lead out of its folder', async () => {
  await saveSafetensors(join(folder(), 'secret.safetensors'), sample());
  await mkdir(model());
  for (const shard of ['../secret.safetensors', join(folder(), 'secret.safetensors')]) {
    await writeFile(inModel(INDEX), JSON.stringify({ weight_map: { a: shard } }));
    expect((await rejection(loadTensors(model()))).code).toBe('INVALID_FILE');
  }
});

test('saving over a damaged index removes only what is ours', async () => {
  await mkdir(model());
  await writeFile(join(folder(), 'other.safetensors'), 'x');
  await writeFile(inModel(INDEX), '{"weight_map":{"a":"../other.safetensors"}}');
  await saveTensors(model(), sample());
  expect(await readdir(model())).toEqual(['model.safetensors']);
  expect(await readdir(folder())).toContain('other.safetensors');
});

test('finds the model in a folder', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80 });
  const wanted = await contents(sample());

  await rename(inModel(INDEX), inModel('diffusion_pytorch_model.safetensors.index.json'));
  expect(await contents(await loadTensors(model()))).toEqual(wanted);
  await rename(inModel('diffusion_pytorch_model.safetensors.index.json'), inModel('any.safetensors.index.json'));
  expect(await contents(await loadTensors(model()))).toEqual(wanted);

  await unlink(inModel('any.safetensors.index.json'));
  const several = ['x.safetensors', 'y.safetensors'];
  for (const name of several) await saveSafetensors(inModel(name), sample());
  expect((await rejection(loadTensors(model()))).message).toMatch(/expected one model .* but got 2/);
  await unlink(inModel(several[0]));
  expect(await contents(await loadTensors(model()))).toEqual(wanted);

  // Shards without an index are no model, not even one shard alone.
  await unlink(inModel(several[1]));
  for (const shard of SHARDS) {
    expect(await rejection(loadTensors(model()))).toMatchObject({ code: 'IO' });
    await unlink(inModel(shard));
  }
  expect(await rejection(loadTensors(model()))).toMatchObject({ code: 'IO' });
  expect(await rejection(loadTensors(inModel('missing')))).toMatchObject({ code: 'IO' });
});

test('a failed load frees what it had loaded', async () => {
  await saveTensors(model(), sample(), { maxShardBytes: 80 });
  await unlink(inModel(SHARDS[2]));
  const before = settledMemory().tensors;
  await rejection(loadTensors(model()));
  expect(native.memory().tensors).toBe(before);
});
