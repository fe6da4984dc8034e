import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapFileBytes, openFileBytes, viewBytes, type FileBytes } from '../../lib/io/file-bytes';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quanto-bytes-'));
  path = join(folder, 'file');
  await writeFile(
    path,
    Uint8Array.from({ length: 100 }, (_, i) => i),
  );
});
afterEach(() => rm(folder, { recursive: true }));

const kinds: [string, (path: string) => Promise<FileBytes>][] = [
  ['read', openFileBytes],
  ['mapped', async (path) => mapFileBytes(path)],
];

describe.each(kinds)('a file that is %s', (_, openBytes) => {
  test('gives its size and ranges', async () => {
    const file = await openBytes(path);
    expect(file.size).toBe(100);
    const ranges = await Promise.all([file.range(0, 100), file.range(3, 5), file.range(100, 100)]);
    await file.close();
    // Ranges outlive the file.
    expect([...(await ranges[0].bytes())]).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([...(await ranges[1].bytes())]).toEqual([3, 4]);
    expect((await ranges[2].bytes()).length).toBe(0);
  });

  test('may be empty', async () => {
    await writeFile(path, '');
    const file = await openBytes(path);
    expect(file.size).toBe(0);
    expect((await (await file.range(0, 0)).bytes()).length).toBe(0);
    await file.close();
  });

  test('stays the same file when another takes its name', async () => {
    const file = await openBytes(path);
    await writeFile(join(folder, 'other'), Buffer.alloc(100, 7));
    await rename(join(folder, 'other'), path);
    expect([...(await (await file.range(1, 3)).bytes())]).toEqual([1, 2]);
    await file.close();
  });

  test('is missing, a folder, a named pipe or no path at all', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    for (const wrong of [join(folder, 'missing'), folder, pipe, `${path}\0`]) {
      await expect(openBytes(wrong)).rejects.toMatchObject({ name: 'QuantoError', code: 'IO' });
    }
  });
});

test('reading a file that became shorter fails with IO, and the next read works', async () => {
  const file = await openFileBytes(path);
  await truncate(path, 50);
  await expect(file.range(40, 60)).rejects.toMatchObject({ code: 'IO' });
  await expect(file.range(40, 60)).rejects.toThrow(/bytes 40 to 60 of .*became shorter/);
  expect([...(await (await file.range(48, 50)).bytes())]).toEqual([48, 49]);
  await file.close();
});

test('a closed file cannot be read', async () => {
  const file = await openFileBytes(path);
  await file.close();
  await expect(file.range(0, 1)).rejects.toMatchObject({ code: 'IO' });
});

test('a descriptor that is closed after the call is still read', async () => {
  const file = await openFileBytes(path);
  const range = file.range(10, 12);
  await file.close();
  const other = await open(join(folder, 'other'), 'w+'); // takes the number that was freed
  expect([...(await (await range).bytes())]).toEqual([10, 11]);
  await other.close();
});

test('views bytes as another dtype, aligned or not', async () => {
  const file = mapFileBytes(path);
  const bytes = await file.range(0, 100);
  for (const begin of [8, 9]) {
    const view = viewBytes(bytes, begin, 'int32', [1, 2]);
    expect(view.shape).toEqual([1, 2]);
    const expected = new DataView(Uint8Array.from({ length: 8 }, (_, i) => begin + i).buffer);
    expect([...(await view.data())]).toEqual([expected.getInt32(0, true), expected.getInt32(4, true)]);
  }
  await file.close();
});
