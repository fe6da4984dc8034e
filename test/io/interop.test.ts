import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { loadSafetensors, openSafetensors, saveSafetensors } from '../../lib/io/safetensors';
import { contents, temporaryFolder } from './support';

// Written by the reference implementation for Python: the fixtures of the original library, and real models.
const shared = resolve(__dirname, '../../../shared');
const files = ['fixtures', 'data']
  .map((name) => join(shared, name))
  .filter((path) => existsSync(path))
  .flatMap((path) => readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name)))
  .filter((path) => path.endsWith('.safetensors'));

const folder = temporaryFolder();

if (files.length === 0) {
  test.skip(`safetensors files of the reference implementation: ${shared} is not there`, () => undefined);
} else {
  test.each(files.map((path) => [relative(shared, path), path]))('%s loads, and is the same after saving', async (_, path) => {
    const loaded = await loadSafetensors(path);
    const wanted = await contents(loaded);
    expect(await contents(await loadSafetensors(path, { mmap: true }))).toEqual(wanted);

    await using source = await openSafetensors(path);
    const copy = join(folder(), 'copy.safetensors');
    await saveSafetensors(copy, loaded, source.metadata);
    expect(await contents(await loadSafetensors(copy))).toEqual(wanted);
    // The reference implementation writes metadata in no fixed order; without it, and with one key, even the bytes are the same.
    if (Object.keys(source.metadata).length <= 1) expect((await readFile(copy)).equals(await readFile(path))).toBe(true);
  });
}
