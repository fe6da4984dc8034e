import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tensorFromBytes } from '../../lib/ops/creation';
import { dtypes, type DType } from '../../lib/tensor/dtype';
import type { QuantoError } from '../../lib/tensor/error';
import type { Tensor } from '../../lib/tensor/tensor';

/** A folder for each test of a file, removed after it; call it at the top level. */
export function temporaryFolder(): () => string {
  let folder: string;
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'quanto-io-'))));
  afterEach(() => rm(folder, { recursive: true }));
  return () => folder;
}

/** A tensor of the bytes seed, seed + 1 and so on (0 and 1 for bool). */
export function patterned(dtype: DType, shape: readonly number[], seed = 0): Tensor {
  const numel = shape.reduce((product, size) => product * size, 1);
  const modulus = dtype === 'bool' ? 2 : 256;
  const bytes = Uint8Array.from({ length: numel * dtypes[dtype].bytes }, (_, i) => (seed + i) % modulus);
  return tensorFromBytes(bytes, dtype, shape);
}

/** What a record of tensors holds, for comparison: name, dtype, shape and bytes, sorted by name. */
export async function contents(tensors: Readonly<Record<string, Tensor>>): Promise<unknown[]> {
  const rows = Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(
    rows.map(async ([name, tensor]) => [name, tensor.dtype, [...tensor.shape], Buffer.from(await tensor.bytes()).toString('base64')]),
  );
}

/** A safetensors file of any header and data, right or wrong. */
export function rawFile(header: string | Uint8Array, data: Uint8Array = new Uint8Array(), length?: bigint): Buffer {
  const json = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, data]);
}

/** The QuantoError that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<QuantoError> {
  const error: unknown = await promise.then(
    () => new Error('expected a rejection'),
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: 'QuantoError' });
  return error as QuantoError;
}
