/** Safetensors files: reading whole or tensor by tensor, and writing. */
import { QuantoError } from '../tensor/error';
import { Tensor } from '../tensor/tensor';
import { writeAll, writeAtomic } from './atomic';
import { invalidFile, quoted } from './error';
import { mapFileBytes, openFileBytes, viewBytes, type FileBytes } from './file-bytes';
import {
  encodeHeader,
  headerLength,
  parseHeader,
  PREFIX_BYTES,
  tensorLabel,
  type SafetensorsHeader,
  type TensorInfo,
} from './safetensors-header';

// kMaxDims of csrc/backend.h
const MAX_DIMENSIONS = 8;

export interface ReadOptions {
  /**
   * Map the file instead of reading it (default false). Mapped tensors are views of the file: nothing is copied, memory is taken page
   * by page as it is touched and shared between processes. The price is the file's good behaviour: if a program cuts it short while it
   * is mapped, the system kills this process (SIGBUS), and if one overwrites it in place, the weights change. Reading copies each byte
   * once, from the file to the tensor, and turns both cases into an error or a non-event, so it is the default. Files that this
   * library writes are replaced, never overwritten, so they are safe to map.
   */
  mmap?: boolean;
}

/** Where tensors can be read one by one: a safetensors file, or several with an index. */
export interface TensorSource {
  /** The tensors' names, in the order in which reading is fastest. */
  names(): string[];
  /** Loads one tensor on the CPU. @throws QuantoError 'INVALID_ARGUMENT' when there is none of that name, 'NOT_SUPPORTED', 'INVALID_FILE', 'IO' */
  tensor(name: string): Promise<Tensor>;
  /** Closes the files; tensors that were loaded stay. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** An open safetensors file, of which only the header has been read. Close it, or declare it with `await using`. */
export class SafetensorsFile implements TensorSource {
  private constructor(
    readonly path: string,
    private readonly bytes: FileBytes,
    private readonly header: SafetensorsHeader,
  ) {}

  /**
   * Reads and checks the header of a file, which is closed if that fails.
   * @throws QuantoError 'IO' when it cannot be read, 'INVALID_FILE' when it is no safetensors file
   */
  static async fromBytes(bytes: FileBytes, path: string): Promise<SafetensorsFile> {
    try {
      return new SafetensorsFile(path, bytes, await readHeader(bytes, path));
    } catch (error) {
      await bytes.close();
      throw error;
    }
  }

  /** The text of `__metadata__`; a record without prototype. */
  get metadata(): Readonly<Record<string, string>> {
    return this.header.metadata;
  }

  names(): string[] {
    return [...this.header.tensors.keys()];
  }

  has(name: string): boolean {
    return this.header.tensors.has(name);
  }

  /** What the header says of one tensor: element type, shape, and where its bytes are. */
  info(name: string): TensorInfo {
    const info = this.header.tensors.get(name);
    if (info === undefined) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[safetensors] expected the name of a tensor in ${this.path} but got ${quoted(name)}; names() lists them`,
      );
    }
    return info;
  }

  async tensor(name: string): Promise<Tensor> {
    const { dtype, format, shape, begin, end } = this.info(name);
    const label = tensorLabel(this.path, name);
    if (dtype === undefined) {
      throw new QuantoError(
        'NOT_SUPPORTED',
        `[safetensors] ${label} is ${format}, for which there is no dtype; convert the file to another type`,
      );
    }
    if (shape.length > MAX_DIMENSIONS) {
      throw new QuantoError(
        'NOT_SUPPORTED',
        `[safetensors] ${label} has ${shape.length} dimensions, and a tensor at most ${MAX_DIMENSIONS}; reshape it before saving`,
      );
    }
    using bytes = await this.bytes.range(begin, end);
    if (dtype === 'bool' && (await bytes.bytes()).some((byte) => byte > 1)) {
      throw invalidFile(label, 'expected bytes 0 and 1 for BOOL but got others');
    }
    return viewBytes(bytes, 0, dtype, shape);
  }

  async close(): Promise<void> {
    await this.bytes.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function readHeader(bytes: FileBytes, path: string): Promise<SafetensorsHeader> {
  const read = async (begin: number, end: number): Promise<Uint8Array> => {
    using range = await bytes.range(begin, end);
    return await range.bytes();
  };
  const length = headerLength(await read(0, Math.min(PREFIX_BYTES, bytes.size)), bytes.size, path);
  return parseHeader(await read(PREFIX_BYTES, PREFIX_BYTES + length), bytes.size, path);
}

/**
 * Opens a safetensors file to read its tensors one by one; see `SafetensorsFile`.
 * @throws QuantoError 'IO' when it cannot be read, 'INVALID_FILE' when it is no safetensors file
 */
export async function openSafetensors(path: string, { mmap = false }: ReadOptions = {}): Promise<SafetensorsFile> {
  return SafetensorsFile.fromBytes(mmap ? mapFileBytes(path) : await openFileBytes(path), path);
}

/**
 * Loads all tensors of a safetensors file, on the CPU.
 * @returns a record without prototype, so that a tensor may have any name
 * @throws QuantoError 'IO' when the file cannot be read, 'INVALID_FILE' when it is not a whole and consistent safetensors file,
 *   'NOT_SUPPORTED' for an element type that Quanto does not have
 */
export async function loadSafetensors(path: string, options?: ReadOptions): Promise<Record<string, Tensor>> {
  await using file = await openSafetensors(path, options);
  return await readAll(file);
}

/** Loads every tensor of a source; when one fails, those before it are freed. */
export async function readAll(source: TensorSource): Promise<Record<string, Tensor>> {
  const tensors = Object.create(null) as Record<string, Tensor>;
  try {
    for (const name of source.names()) tensors[name] = await source.tensor(name);
  } catch (error) {
    for (const tensor of Object.values(tensors)) tensor.dispose();
    throw error;
  }
  return tensors;
}

/** The `__metadata__` of a safetensors file, of which only the header is read; a record without prototype. */
export async function readSafetensorsMetadata(path: string): Promise<Readonly<Record<string, string>>> {
  await using file = await openSafetensors(path);
  return file.metadata;
}

/**
 * Writes tensors to a safetensors file, byte for byte as the reference implementation does but for the order of the metadata. The
 * tensors pass one by one, so no more than the largest is copied at a time; none may change before the promise resolves. The file
 * is replaced atomically (see `writeAtomic`).
 * @param metadata text for `__metadata__`, such as `{ format: 'pt' }`
 * @throws QuantoError 'IO' when the system refuses, 'INVALID_ARGUMENT' for a name or metadata that no file can hold,
 *   'NOT_SUPPORTED' for quantized tensors (save a model with saveQuantized), or the error of any op that a tensor was computed from
 */
export async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeAtomic(path, safetensorsWriter(new Map(Object.entries(tensors)), metadata));
}

/** What writes a safetensors file into an open file; the arguments are checked at once. */
export function safetensorsWriter(
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: Readonly<Record<string, string>>,
): Parameters<typeof writeAtomic>[1] {
  for (const [name, tensor] of tensors) checkPlain(name, tensor);
  const header = encodeHeader(
    Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape })),
    metadata,
  );
  return async (file) => {
    await writeAll(file, header.bytes);
    for (const { name } of header.tensors) await writeAll(file, await (tensors.get(name) as Tensor).bytes());
  };
}

function checkPlain(name: string, tensor: unknown): void {
  if (!(tensor instanceof Tensor)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[saveSafetensors] ${quoted(name)}: expected a tensor but got ${typeof tensor}; make one with tensor()`,
    );
  }
  if (tensor.isQuantized) {
    throw new QuantoError(
      'NOT_SUPPORTED',
      `[saveSafetensors] ${quoted(name)}: expected a plain tensor but got a quantized one; save its parts, or the model with saveQuantized`,
    );
  }
}
