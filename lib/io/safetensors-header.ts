/**
 * The header of a safetensors file, apart from any tensor: parsing, checking and encoding.
 *
 * The file is 8 bytes of header length (unsigned, little endian), the header in JSON, and the tensors' bytes:
 * `{"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}}`.
 * Source: the format description and the reference implementation at https://github.com/huggingface/safetensors.
 */
import { isUtf8 } from 'node:buffer';
import type { DType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { invalidFile, quoted } from './error';
import { JsonReader, isWellFormed } from './json-reader';

/** Bytes before the header: its length. */
export const PREFIX_BYTES = 8;
/** The reference implementation's limit, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

interface Format {
  readonly name: string;
  readonly bits: number;
  /** Absent where Quanto has no such element type. */
  readonly dtype?: DType;
}

// In the order in which the reference implementation writes tensors (the falling order of its Dtype enum, so that wide elements
// come first and each tensor is aligned to its elements).
const FORMATS: readonly Format[] = [
  { name: 'U64', bits: 64 },
  { name: 'I64', bits: 64, dtype: 'int64' },
  { name: 'F64', bits: 64 },
  { name: 'C64', bits: 64 },
  { name: 'F32', bits: 32, dtype: 'float32' },
  { name: 'U32', bits: 32 },
  { name: 'I32', bits: 32, dtype: 'int32' },
  { name: 'BF16', bits: 16, dtype: 'bfloat16' },
  { name: 'F16', bits: 16, dtype: 'float16' },
  { name: 'U16', bits: 16 },
  { name: 'I16', bits: 16 },
  { name: 'F8_E5M2FNUZ', bits: 8 },
  { name: 'F8_E4M3FNUZ', bits: 8, dtype: 'float8_e4m3fnuz' },
  { name: 'F8_E8M0', bits: 8 },
  { name: 'F8_E4M3', bits: 8, dtype: 'float8_e4m3fn' },
  { name: 'F8_E5M2', bits: 8, dtype: 'float8_e5m2' },
  { name: 'I8', bits: 8, dtype: 'int8' },
  { name: 'U8', bits: 8, dtype: 'uint8' },
  { name: 'F6_E3M2', bits: 6 },
  { name: 'F6_E2M3', bits: 6 },
  { name: 'F4', bits: 4 },
  { name: 'BOOL', bits: 8, dtype: 'bool' },
];
const FORMAT_BY_NAME = new Map(FORMATS.map((format) => [format.name, format]));
const FORMAT_BY_DTYPE = new Map(FORMATS.map((format) => [format.dtype, format]));
const WRITE_ORDER = new Map(FORMATS.map((format, index) => [format.name, index]));

/** One tensor of a file. */
export interface TensorInfo {
  /** The element type as the file names it, such as `F32`. */
  readonly format: string;
  /** The same as a Quanto dtype; undefined where there is none (F64, U16 ...): such a tensor can be listed but not loaded. */
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  /** Where its bytes begin and end, in bytes from the start of the file. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The free text of `__metadata__`; no prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks the length of the header.
 * @param prefix the first 8 bytes of the file (or all of a shorter one)
 * @throws QuantoError 'INVALID_FILE' when the header is longer than the file or than 100 MB
 */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (prefix.length < PREFIX_BYTES) {
    throw invalidFile(
      file,
      `expected a safetensors file, which begins with ${PREFIX_BYTES} bytes of header length, but got ${prefix.length} bytes`,
    );
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  const limit = Math.min(fileBytes - PREFIX_BYTES, MAX_HEADER_BYTES);
  if (length > limit) {
    throw invalidFile(file, `expected a header of at most ${limit} bytes (the file has ${fileBytes}) but got a header length of ${length}`);
  }
  return Number(length);
}

/**
 * Parses and checks a header. As in the reference implementation the tensors' bytes fill the rest of the file without overlaps
 * and without holes; stricter than there, no name may come twice.
 * @param json the header's bytes, after the 8 bytes of length
 * @param file name for messages
 * @throws QuantoError 'INVALID_FILE' naming the file, the tensor, what was expected and what came
 */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): SafetensorsHeader {
  if (!isUtf8(json)) throw invalidFile(file, 'expected a header in UTF-8 but got bytes that are not');
  const reader = new JsonReader(Buffer.from(json.buffer, json.byteOffset, json.length).toString('utf8'), (problem) =>
    invalidFile(file, `header: ${problem}`),
  );
  const dataStart = PREFIX_BYTES + json.length;
  const entries: [string, TensorInfo][] = [];
  let metadata = Object.create(null) as Record<string, string>;
  reader.object((name) => {
    if (name !== '__metadata__') entries.push([name, readTensorInfo(reader, dataStart, tensorLabel(file, name))]);
    else if (!reader.takeNull()) metadata = reader.stringRecord();
  });
  reader.end();
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  checkLayout(entries, dataStart, fileBytes, file);
  return { tensors: new Map(entries), metadata };
}

function readTensorInfo(reader: JsonReader, dataStart: number, label: string): TensorInfo {
  let formatName: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.object((field) => {
    if (field === 'dtype') formatName = reader.string();
    else if (field === 'shape') shape = readIntegers(reader);
    else if (field === 'data_offsets') offsets = readIntegers(reader);
    else reader.skipValue();
  });
  if (formatName === undefined || shape === undefined || offsets === undefined) {
    throw invalidFile(label, 'expected dtype, shape and data_offsets but got an entry without all three');
  }
  const format = FORMAT_BY_NAME.get(formatName);
  if (format === undefined) {
    throw invalidFile(label, `expected a dtype of ${[...FORMAT_BY_NAME.keys()].join(', ')} but got ${quoted(formatName)}`);
  }
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined || begin > end) {
    throw invalidFile(label, `expected data_offsets [begin, end] with begin <= end but got ${listed(offsets)}`);
  }
  const bytes = byteLength(shape, format.bits);
  if (bytes !== end - begin) {
    const needed = bytes === undefined ? 'more bytes than can be counted' : `${bytes} bytes`;
    throw invalidFile(
      label,
      `expected ${needed} for ${format.name} ${listed(shape)} but got data_offsets ${listed(offsets)}, ${end - begin} bytes`,
    );
  }
  return { format: format.name, dtype: format.dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function readIntegers(reader: JsonReader): number[] {
  const integers: number[] = [];
  reader.array(() => integers.push(reader.nonNegativeInteger()));
  return integers;
}

/** Bytes of a tensor; undefined when they are no whole or no safe number, sizes beside a zero included (strides multiply them). */
function byteLength(shape: readonly number[], bits: number): number | undefined {
  let nonZero = bits;
  for (const size of shape) {
    if (size > 0) nonZero *= size;
    if (nonZero > Number.MAX_SAFE_INTEGER) return undefined;
  }
  if (shape.includes(0)) return 0;
  return nonZero % 8 === 0 ? nonZero / 8 : undefined;
}

/** Sorted by offset, every tensor begins where the one before it ends, and the last ends with the file. */
function checkLayout(entries: readonly [string, TensorInfo][], dataStart: number, fileBytes: number, file: string): void {
  let position = dataStart;
  for (const [name, { begin, end }] of entries) {
    if (begin !== position) {
      const found = begin < position ? 'an overlap with the tensor before it' : 'a hole before it';
      throw invalidFile(
        tensorLabel(file, name),
        `expected its data at offset ${position - dataStart} but got ${begin - dataStart}, ${found}`,
      );
    }
    position = end;
  }
  if (position !== fileBytes) {
    throw invalidFile(file, `expected a file of ${position} bytes, as its header says, but got ${fileBytes}`);
  }
}

/** What a tensor to be written is. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface EncodedHeader {
  /** The first bytes of the file: length, JSON, spaces up to a multiple of 8. */
  readonly bytes: Uint8Array;
  /** The tensors in the order in which their bytes must follow. */
  readonly tensors: readonly (TensorSpec & { readonly byteLength: number })[];
}

/**
 * Plans a file as the reference implementation does: tensors by element type, wide ones first, then by name; the metadata, sorted
 * by key so that equal contents give equal files, comes first.
 * @throws QuantoError 'INVALID_ARGUMENT' for a name that no file can hold, 'NOT_SUPPORTED' past the 100 MB of a header
 */
export function encodeHeader(specs: Iterable<TensorSpec>, metadata: Readonly<Record<string, string>> = {}): EncodedHeader {
  const rows = Array.from(specs, (spec) => ({ ...spec, format: formatOf(spec), key: Buffer.from(spec.name, 'utf8') }));
  rows.sort((a, b) => writeOrder(a.format) - writeOrder(b.format) || Buffer.compare(a.key, b.key));

  const members: string[] = [];
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) {
    members.push(`"__metadata__":{${keys.map((key) => `${encodeText(key)}:${encodeText(metadata[key])}`).join(',')}}`);
  }
  const tensors: EncodedHeader['tensors'][number][] = [];
  let offset = 0;
  for (const { name, dtype, shape, format } of rows) {
    if (name === '__metadata__')
      throw new QuantoError(
        'INVALID_ARGUMENT',
        '[saveSafetensors] expected tensor names but got "__metadata__", which the format keeps for itself; rename the tensor',
      );
    const bytes = byteLength(shape, format.bits);
    if (bytes === undefined)
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[saveSafetensors] ${quoted(name)}: expected a size that can be counted but got ${listed(shape)}; split the tensor`,
      );
    members.push(`${encodeText(name)}:${JSON.stringify({ dtype: format.name, shape, data_offsets: [offset, offset + bytes] })}`);
    tensors.push({ name, dtype, shape, byteLength: bytes });
    offset += bytes;
  }

  const json = Buffer.from(`{${members.join(',')}}`, 'utf8');
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new QuantoError(
      'NOT_SUPPORTED',
      `[saveSafetensors] expected a header of at most ${MAX_HEADER_BYTES} bytes but got ${length}; save to several files`,
    );
  }
  const bytes = Buffer.alloc(PREFIX_BYTES + length, ' ');
  bytes.writeBigUInt64LE(BigInt(length), 0);
  json.copy(bytes, PREFIX_BYTES);
  return { bytes, tensors };
}

function formatOf({ name, dtype }: TensorSpec): Format {
  const format = FORMAT_BY_DTYPE.get(dtype);
  if (format === undefined) {
    throw new QuantoError(
      'NOT_SUPPORTED',
      `[saveSafetensors] ${quoted(name)}: expected a dtype that the format has but got ${dtype}; convert the tensor with to()`,
    );
  }
  return format;
}

function writeOrder(format: Format): number {
  return WRITE_ORDER.get(format.name) ?? FORMATS.length;
}

function encodeText(text: unknown): string {
  if (typeof text !== 'string') {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[saveSafetensors] expected metadata values to be strings but got ${typeof text}; convert them`,
    );
  }
  if (!isWellFormed(text)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[saveSafetensors] expected names and metadata in well-formed Unicode but got ${quoted(text)}; rename it`,
    );
  }
  return JSON.stringify(text);
}

/** How messages name a tensor of a file. */
export function tensorLabel(file: string, name: string): string {
  return `${file}: tensor ${quoted(name)}`;
}

function listed(integers: readonly number[]): string {
  const shown = integers.slice(0, 8).join(', ');
  return integers.length > 8 ? `[${shown}, ... ${integers.length} in all]` : `[${shown}]`;
}
