import { constants, open, type FileHandle } from 'node:fs/promises';
import { native } from '../native';
import { dtypeCode, type DType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { Tensor } from '../tensor/tensor';
import { withIoErrors } from './error';

/** The bytes of one open file; ranges of it come as 1-D uint8 tensors. */
export interface FileBytes {
  readonly size: number;
  range(begin: number, end: number): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens a file whose ranges are read into memory of their own. It is one and the same file for all ranges, even when another takes
 * its name meanwhile; when it becomes shorter, `range` rejects with 'IO'.
 */
export async function openFileBytes(path: string): Promise<FileBytes> {
  const file = await openRegularFile(path);
  const { size } = await file.stat();
  return {
    size,
    async range(begin, end) {
      const bytes = Tensor.fromNative(native.readFile(file.fd, begin, end - begin));
      try {
        await completion(bytes);
      } catch (error) {
        bytes.dispose();
        const { code, message } = error as QuantoError;
        throw new QuantoError(code, `[io] cannot read bytes ${begin} to ${end} of ${path}: ${message}`);
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

/** Maps a file: ranges are views of the mapping, which lives as long as any of them. */
export function mapFileBytes(path: string): FileBytes {
  const mapping = Tensor.fromNative(native.mapFile(path));
  return {
    size: mapping.numel,
    range: (begin, end) => Promise.resolve(viewBytes(mapping, begin, 'uint8', [end - begin])),
    close() {
      mapping.dispose();
      return Promise.resolve();
    },
  };
}

/** A row-major view of part of a 1-D uint8 tensor as another dtype; a copy where the bytes are not aligned to the elements. */
export function viewBytes(bytes: Tensor, begin: number, dtype: DType, shape: readonly number[]): Tensor {
  return Tensor.fromNative(native.viewBytes(bytes.native, begin, dtypeCode(dtype), shape));
}

async function openRegularFile(path: string): Promise<FileHandle> {
  return withIoErrors('open', path, async () => {
    // Without O_NONBLOCK, which Windows lacks and does not need, opening a named pipe would wait for a writer.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    if ((await file.stat()).isFile()) return file;
    await file.close();
    throw new QuantoError('IO', `[io] expected a file but ${path} is not one; give the path of a regular file`);
  });
}

/** Waits until a tensor's values are there, without copying them; rejects with the error that it is marked with. */
async function completion(bytes: Tensor): Promise<void> {
  using none = viewBytes(bytes, 0, 'uint8', [0]);
  await none.bytes();
}
