import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileBytes } from '../../lib/io/file-bytes';
import { loadSafetensors, readAll, SafetensorsFile } from '../../lib/io/safetensors';
import { encodeHeader, PREFIX_BYTES, type TensorSpec } from '../../lib/io/safetensors-header';
import { tensorFromBytes } from '../../lib/ops/creation';
import { dtypes, type DType } from '../../lib/tensor/dtype';
import type { QuantoError } from '../../lib/tensor/error';
import type { Tensor } from '../../lib/tensor/tensor';
import { rawFile, temporaryFolder } from './support';

const folder = temporaryFolder();

/** Seeded random numbers: xorshift32, Marsaglia 2003. */
class Random {
  constructor(private state: number) {}
  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }
}

const NAMES = ['w', 'layer.0.weight', '__proto__', 'constructor', '', 'é', '😀', '"\\', '__metadata__x'];

/** A valid file of a few small tensors. */
function validFile(random: Random): { header: string; data: Buffer } {
  const names = NAMES.filter(() => random.below(2) === 0);
  const specs = names.map((name): TensorSpec => ({
    name,
    dtype: random.pick(Object.keys(dtypes) as DType[]),
    shape: Array.from({ length: random.below(4) }, () => random.below(4)),
  }));
  const { bytes, tensors } = encodeHeader(specs, random.below(2) === 0 ? {} : { format: 'pt', ['__proto__']: 'x' });
  const dataBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  // 0 and 1 are right for every dtype, bool included.
  return {
    header: Buffer.from(bytes.subarray(PREFIX_BYTES)).toString(),
    data: Buffer.from(Array.from({ length: dataBytes }, () => random.below(2))),
  };
}

const NUMBERS = [
  '-1',
  '-0',
  '0.5',
  '1.0',
  '1e308',
  '1e999',
  'NaN',
  'Infinity',
  '1e2',
  '00',
  '9007199254740992',
  '9223372036854775808',
  '18446744073709551615',
  '18446744073709551616',
  '""',
  'null',
  '[]',
  '0',
  '1',
  '2',
  '7',
  '4294967296',
];
const DTYPES = ['F32', 'F16', 'BF16', 'I64', 'U8', 'I8', 'BOOL', 'F8_E4M3', 'F64', 'U16', 'F4', 'Q4', '', '__proto__', 'constructor'];
const TEXTS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  '\ufeff',
  '\u0000',
  ' ',
  '\n',
  'null',
  'true',
  '"w":',
  '"__metadata__":{"a":"b"},',
  '"__metadata__":null,',
  '"x":{},',
  '"shape":[1],',
  '"dtype":"U8",',
];

function splice(text: string, from: number, removed: number, inserted: string): string {
  return text.slice(0, from) + inserted + text.slice(from + removed);
}

/** Changes the match of a pattern that chance picks. */
function replaceOne(random: Random, text: string, pattern: RegExp, replacement: string): string {
  const matches = [...text.matchAll(pattern)];
  if (matches.length === 0) return text;
  const match = random.pick(matches);
  return splice(text, match.index, match[0].length, replacement);
}

/** Each changes a valid header, with a name for messages. */
const HEADER_MUTATIONS: Record<string, (header: string, random: Random) => string> = {
  number: (header, random) => replaceOne(random, header, /\d+/g, random.pick(NUMBERS)),
  'two numbers': (header, random) => {
    const number = random.pick(NUMBERS);
    return replaceOne(random, replaceOne(random, header, /\d+/g, number), /\d+/g, number);
  },
  dtype: (header, random) => replaceOne(random, header, /"[A-Z0-9_]+"(?=,"shape")/g, JSON.stringify(random.pick(DTYPES))),
  name: (header, random) => replaceOne(random, header, /"[^"]*"(?=:\{)/g, JSON.stringify(random.pick([...NAMES, '__metadata__']))),
  field: (header, random) =>
    replaceOne(random, header, /"(dtype|shape|data_offsets)"/g, random.pick(['"dtype"', '"shape"', '"data_offsets"', '"x"'])),
  insert: (header, random) => splice(header, random.below(header.length + 1), 0, random.pick(TEXTS)),
  remove: (header, random) => splice(header, random.below(header.length), 1 + random.below(4), ''),
  'cut header': (header, random) => header.slice(0, random.below(header.length)),
  'twice the members': (header) => header.trimEnd().replace(/^\{(.*)\}$/s, '{$1,$1}'),
  'deep arrays': (header, random) => splice(header, random.below(header.length), 0, '['.repeat(100_000)),
  'deep objects': (header, random) => replaceOne(random, header, /\[[^\]]*\]/g, '{"a":'.repeat(100_000)),
  'many numbers': (header, random) => replaceOne(random, header, /\[[^\]]*\]/g, `[${'1,'.repeat(5_000)}1]`),
};

/** Each changes the bytes of a valid file. */
const FILE_MUTATIONS: Record<string, (file: Buffer, random: Random) => Buffer> = {
  none: (file) => file,
  'flip a bit': (file, random) => {
    file[random.below(file.length)] ^= 1 << random.below(8);
    return file;
  },
  'flip bits of the header': (file, random) => {
    const headerEnd = PREFIX_BYTES + Number(file.readBigUInt64LE());
    for (let flips = 1 + random.below(3); flips > 0; flips--) file[random.below(headerEnd)] ^= 1 << random.below(8);
    return file;
  },
  truncate: (file, random) => file.subarray(0, random.below(file.length)),
  extend: (file, random) => Buffer.concat([file, Buffer.alloc(1 + random.below(16))]),
  'header length': (file, random) => {
    const length = file.readBigUInt64LE();
    file.writeBigUInt64LE(
      random.pick([
        0n,
        1n,
        length - 1n,
        length + 1n,
        BigInt(file.length),
        100_000_001n,
        2n ** 32n,
        2n ** 53n + 1n,
        2n ** 63n,
        2n ** 64n - 1n,
      ]),
    );
    return file;
  },
  'invalid UTF-8': (file, random) => {
    file[PREFIX_BYTES + random.below(file.length - PREFIX_BYTES)] = random.pick([0x80, 0xc0, 0xff, 0xed, 0xf8]);
    return file;
  },
  'byte order mark': (file) => rawFile(Buffer.concat([Buffer.from('\ufeff'), file.subarray(PREFIX_BYTES)])),
};

interface Case {
  readonly label: string;
  readonly file: Buffer;
}

function makeCase(seed: number): Case {
  const random = new Random(seed * 2654435761 + 1);
  for (let warmUp = 0; warmUp < 4; warmUp++) random.below(1);
  const { header, data } = validFile(random);
  const mutations = [...Object.keys(HEADER_MUTATIONS), ...Object.keys(FILE_MUTATIONS)];
  const name = mutations[seed % mutations.length];
  const label = `seed ${seed}, ${name}`;
  if (name in HEADER_MUTATIONS) return { label, file: rawFile(HEADER_MUTATIONS[name](header, random), data) };
  return { label, file: FILE_MUTATIONS[name](rawFile(header, data), random) };
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** What a file says, read without any check: name, shape and bytes of each tensor. */
function uncheckedContents(file: Buffer): unknown[] {
  const dataStart = PREFIX_BYTES + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(PREFIX_BYTES, dataStart).toString()) as Record<string, Entry>;
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([
        name,
        {
          shape,
          data_offsets: [begin, end],
        },
      ]) => [name, shape, [...file.subarray(dataStart + begin, dataStart + end)]],
    );
}

async function loadedContents(tensors: Readonly<Record<string, Tensor>>): Promise<unknown[]> {
  const rows = Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  return Promise.all(rows.map(async ([name, tensor]) => [name, [...tensor.shape], [...(await tensor.bytes())]]));
}

const CODES = ['INVALID_FILE', 'NOT_SUPPORTED'];

/** What loading a case came to. */
interface Outcome {
  readonly loaded: boolean;
  readonly complaint?: string;
}

/** A case is right when it is refused with a coded error that names the file, or loads to just what it says. */
async function judge({ label, file }: Case, path: string, load: () => Promise<Record<string, Tensor>>): Promise<Outcome> {
  let tensors: Record<string, Tensor>;
  try {
    tensors = await load();
  } catch (error) {
    const { name, code, message } = error as QuantoError;
    const right = name === 'QuantoError' && CODES.includes(code) && message.includes(path) && message.length < 1000;
    return right ? { loaded: false } : { loaded: false, complaint: `${label}: ${name} ${code} ${message}` };
  }
  const loaded = JSON.stringify(await loadedContents(tensors));
  for (const tensor of Object.values(tensors)) tensor.dispose();
  const said = JSON.stringify(uncheckedContents(file));
  return loaded === said ? { loaded: true } : { loaded: true, complaint: `${label}: loaded ${loaded} from ${said}` };
}

async function judgeAll(seeds: number, judgeOne: (seed: number) => Promise<Outcome>): Promise<void> {
  const complaints: string[] = [];
  let loads = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const { loaded, complaint } = await judgeOne(seed);
    if (loaded) loads++;
    if (complaint !== undefined) complaints.push(complaint);
  }
  expect(complaints).toEqual([]);
  // Both happen often, or the cases prove little.
  expect(loads / seeds).toBeGreaterThan(0.1);
  expect(loads / seeds).toBeLessThan(0.5);
}

/** A file in memory. */
function memoryBytes(file: Buffer): FileBytes {
  return {
    size: file.length,
    range: async (begin, end) => tensorFromBytes(file.subarray(begin, end), 'uint8', [end - begin]),
    close: async () => undefined,
  };
}

test('a damaged file gives a coded error or loads to just what it says, 3000 times', () =>
  judgeAll(3000, (seed) => {
    const damaged = makeCase(seed);
    return judge(damaged, 'f.safetensors', async () =>
      readAll(await SafetensorsFile.fromBytes(memoryBytes(damaged.file), 'f.safetensors')),
    );
  }));

test.each([{ mmap: false }, { mmap: true }])('the same on the disk with %j, 150 times', (options) =>
  judgeAll(150, async (seed) => {
    const damaged = makeCase(seed);
    const path = join(folder(), 'f.safetensors');
    await writeFile(path, damaged.file);
    return judge(damaged, path, () => loadSafetensors(path, options));
  }),
);

test('a header that is as large as its limit and hollow neither crashes nor exhausts the heap', async () => {
  const hollow = Buffer.alloc(30_000_000, '{},');
  hollow.write('{"w":[');
  await writeFile(join(folder(), 'f'), rawFile(hollow));
  await expect(loadSafetensors(join(folder(), 'f'))).rejects.toMatchObject({ code: 'INVALID_FILE' });
});
