import { readFile } from 'node:fs/promises';

/** An array of unsigned bytes in row-major order. */
export interface IdxArray {
  shape: number[];
  values: Uint8Array;
}

const UNSIGNED_BYTES = 8;

/**
 * Reads the IDX format (described at http://yann.lecun.com/exdb/mnist): two zero bytes, the type of the values, the number of
 * dimensions, each size as a big-endian uint32, then the values. MNIST has unsigned bytes only.
 * @param name what the error messages call the file
 */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const fail = (problem: string): never => {
    throw new Error(`${name} is not an IDX file of unsigned bytes: ${problem}`);
  };
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) fail('it does not begin with two zero bytes');
  if (bytes[2] !== UNSIGNED_BYTES) fail(`its values have type ${bytes[2]} instead of ${UNSIGNED_BYTES}`);
  const start = 4 + 4 * bytes[3];
  if (bytes.length < start) fail(`it ends within the sizes of its ${bytes[3]} dimensions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: bytes[3] }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = shape.reduce((product, size) => product * size, 1);
  const values = bytes.subarray(start);
  if (values.length !== expected) fail(`the sizes ${shape.join(' x ')} make ${expected} values, but it holds ${values.length}`);
  return { shape, values };
}

export async function readIdx(path: string): Promise<IdxArray> {
  return parseIdx(await readFile(path), path);
}
