import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile, lstat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stageFile, writeAtomic, writeFileAtomic } from '../../lib/io/atomic';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quanto-atomic-'));
  path = join(folder, 'file.json');
});
afterEach(() => rm(folder, { recursive: true }));

const contents = (): Promise<string> => readFile(path, 'utf8');

test('writes text and bytes, and leaves nothing else', async () => {
  await writeFileAtomic(path, 'é');
  expect(await contents()).toBe('é');
  await writeFileAtomic(path, Uint8Array.of(65, 66));
  expect(await contents()).toBe('AB');
  expect(await readdir(folder)).toEqual(['file.json']);
});

test('writes more than one call takes', async () => {
  const bytes = Buffer.alloc(40 * 2 ** 20, 'quanto');
  await writeFileAtomic(path, bytes);
  expect((await readFile(path)).equals(bytes)).toBe(true);
});

test('a failing writer leaves the old file and nothing else', async () => {
  await writeFileAtomic(path, 'old');
  const failure = new Error('stop');
  await expect(
    writeAtomic(path, async (file) => {
      await file.writeFile('half');
      throw failure;
    }),
  ).rejects.toBe(failure);
  expect(await contents()).toBe('old');
  expect(await readdir(folder)).toEqual(['file.json']);
});

test('the old file stays until the new one is whole', async () => {
  await writeFileAtomic(path, 'old');
  await writeAtomic(path, async (file) => {
    await file.writeFile('new');
    expect(await contents()).toBe('old');
  });
  expect(await contents()).toBe('new');
});

test('concurrent writes of one path do not mix', async () => {
  const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(100_000));
  await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
  expect(texts).toContain(await contents());
  expect(await readdir(folder)).toEqual(['file.json']);
});

test('what the system refuses is an IO error, and nothing is left', async () => {
  const missing = writeFileAtomic(join(folder, 'no', 'file'), 'x');
  await expect(missing).rejects.toMatchObject({ code: 'IO' });
  await expect(missing).rejects.toThrow('ENOENT');
  await mkdir(path);
  await expect(writeFileAtomic(path, 'x')).rejects.toMatchObject({ code: 'IO' });
  await expect(writeFileAtomic(`${path}\0`, 'x')).rejects.toMatchObject({ code: 'IO' });
  expect(await readdir(folder)).toEqual(['file.json']);
});

test('keeps the permissions of an existing file', async () => {
  await writeFileAtomic(path, 'old');
  await chmod(path, 0o600);
  await writeFileAtomic(path, 'new');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('writes through a link', async () => {
  const target = join(folder, 'target');
  await writeFile(target, 'old');
  await symlink(target, path);
  await writeFileAtomic(path, 'new');
  expect(await readFile(target, 'utf8')).toBe('new');
  expect((await lstat(path)).isSymbolicLink()).toBe(true);
});

test('staged files appear when they are committed, or never', async () => {
  const first = await stageFile(path, (file) => file.writeFile('first'));
  const second = await stageFile(join(folder, 'other'), (file) => file.writeFile('second'));
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  await first.commit();
  await second.discard();
  expect(await contents()).toBe('first');
  expect(await readdir(folder)).toEqual(['file.json']);
});
