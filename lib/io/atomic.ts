import { randomBytes } from 'node:crypto';
import { constants, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { withIoErrors } from './error';

// One write call takes fewer than 2^31 bytes; smaller pieces let other work of the thread pool in between.
const WRITE_BYTES = 16 * 2 ** 20;

/** What a writer does with the open file; a FileHandle of Node, whose own type would make users of this package need Node's types. */
export interface WritableFile {
  write(bytes: Uint8Array, offset: number, length: number): Promise<{ bytesWritten: number }>;
  writeFile(contents: string | Uint8Array): Promise<void>;
}

/** A file written in full beside its place, which `commit` moves there and `discard` removes. */
export interface StagedFile {
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Writes a file atomically: whoever opens `path`, at any time and after a crash or a power failure, finds the old contents or the
 * new ones in full. Concurrent writes of one path do not mix: the last to finish wins. A failure leaves the old file and nothing
 * else; a killed process may leave a `.NAME.*.tmp` beside it. An existing file keeps its permissions, and a link stays a link.
 * @throws QuantoError 'IO', or whatever `write` throws
 */
export async function writeAtomic(path: string, write: (file: WritableFile) => Promise<void>): Promise<void> {
  const staged = await stageFile(path, write);
  await staged.commit();
}

/** `writeAtomic` of contents at hand: a string is written as UTF-8. */
export async function writeFileAtomic(path: string, contents: string | Uint8Array): Promise<void> {
  const bytes = typeof contents === 'string' ? Buffer.from(contents, 'utf8') : contents;
  await writeAtomic(path, (file) => writeAll(file, bytes));
}

/** The first half of `writeAtomic`, for files that must appear together: stage them all, then commit them. */
export async function stageFile(path: string, write: (file: WritableFile) => Promise<void>): Promise<StagedFile> {
  return withIoErrors('write', path, async () => {
    const target = await resolveLink(path);
    const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
    const discard = (): Promise<void> => unlink(temporary).catch(() => undefined);
    const mode = await permissions(target);
    const file = await open(temporary, 'wx');
    try {
      try {
        if (mode !== undefined) await file.chmod(mode);
        await write(file);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      await discard();
      throw error;
    }
    const commit = (): Promise<void> =>
      withIoErrors('replace', target, async () => {
        try {
          await rename(temporary, target);
        } catch (error) {
          await discard();
          throw error;
        }
        await syncDirectory(dirname(target));
      });
    return { commit, discard };
  });
}

/** Writes all of `bytes` at the file's position. */
export async function writeAll(file: WritableFile, bytes: Uint8Array): Promise<void> {
  for (let position = 0; position < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, position, Math.min(WRITE_BYTES, bytes.length - position));
    position += bytesWritten;
  }
}

/** Makes renames and removals in a directory survive a power failure, where the system can do that. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows cannot open a directory and some network file systems cannot sync one; the rename has happened all the same.
  const directory = await open(path, constants.O_RDONLY).catch(() => undefined);
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

async function resolveLink(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

async function permissions(target: string): Promise<number | undefined> {
  return stat(target).then(
    ({ mode }) => mode & 0o777,
    () => undefined,
  );
}
