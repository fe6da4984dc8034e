import {
  encodeHeader,
  headerLength,
  parseHeader,
  PREFIX_BYTES,
  type SafetensorsHeader,
  type TensorSpec,
} from '../../lib/io/safetensors-header';
import { QuantoError } from '../../lib/tensor/error';

const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** Parses a header given as JSON text before `dataBytes` bytes of data. */
function parse(json: string | Uint8Array, dataBytes = 0): SafetensorsHeader {
  const bytes = Buffer.from(json);
  return parseHeader(bytes, PREFIX_BYTES + bytes.length + dataBytes, 'f.safetensors');
}

function errorOf(action: () => unknown): QuantoError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(QuantoError);
    return error as QuantoError;
  }
  throw new Error('expected an error');
}

const entry = (dtype: string, shape: unknown, offsets: unknown): string => JSON.stringify({ dtype, shape, data_offsets: offsets });
const one = (dtype: string, shape: unknown, offsets: unknown): string => `{"w":${entry(dtype, shape, offsets)}}`;

describe('parseHeader', () => {
  test('reads tensors, absolute offsets and metadata', () => {
    const json = `{"__metadata__":{"format":"pt"},"b":${entry('BF16', [2, 3], [8, 20])},"a":${entry('I64', [], [0, 8])}}  `;
    const header = parse(json, 20);
    const start = PREFIX_BYTES + json.length;
    expect([...header.tensors]).toEqual([
      ['a', { format: 'I64', dtype: 'int64', shape: [], begin: start, end: start + 8 }],
      ['b', { format: 'BF16', dtype: 'bfloat16', shape: [2, 3], begin: start + 8, end: start + 20 }],
    ]);
    expect({ ...header.metadata }).toEqual({ format: 'pt' });
  });

  test('keeps hostile names apart from the language', () => {
    const names = ['__proto__', 'constructor', 'toString', '', 'a/../b', '\u0000', '😀'];
    const json = `{${names.map((name, i) => `${JSON.stringify(name)}:${entry('U8', [1], [i, i + 1])}`).join(',')}}`;
    expect([...parse(json, names.length).tensors.keys()]).toEqual(names);
    const { metadata } = parse('{"__metadata__":{"__proto__":"x"}}');
    expect(metadata['__proto__']).toBe('x');
    expect(metadata['constructor']).toBeUndefined();
  });

  test.each([
    ['no tensors', '{}', 0],
    ['metadata null', '{"__metadata__":null}', 0],
    ['white space around', ' {}\n\t ', 0],
    ['empty tensors at the same offset', `{"a":${entry('F32', [0], [0, 0])},"b":${entry('F32', [3, 0], [0, 0])}}`, 0],
    ['fields that are not ours', '{"a":{"dtype":"I8","x":{"y":[1.5,null]},"shape":[],"data_offsets":[0,1]}}', 1],
  ])('accepts %s, as the reference implementation does', (_, json, dataBytes) => {
    expect(() => parse(json, dataBytes)).not.toThrow();
  });

  test.each([
    ['F64', 8], ['U64', 8], ['C64', 8], ['U32', 4], ['U16', 2], ['I16', 2], ['F8_E8M0', 1], ['F8_E5M2FNUZ', 1],
  ])('lists a tensor of type %s, which has no dtype here', (format, bytes) => {
    expect(parse(one(format, [1], [0, bytes]), bytes).tensors.get('w')).toMatchObject({ format, dtype: undefined });
  }); // prettier-ignore

  test.each<[string, string | Uint8Array, number, RegExp]>([
    ['text that is not JSON', 'hello', 0, /header: expected an object at character 0 but got "hello"/],
    ['an empty header', '', 0, /got the end of the text/],
    ['a byte order mark', '\ufeff{}', 0, /expected an object/],
    ['bytes that are not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 0, /UTF-8/],
    ['an array', '[]', 0, /expected an object/],
    ['text after the object', '{}{}', 0, /expected the end/],
    ['100,000 nested arrays', `{"w":{"x":${'['.repeat(100_000)}`, 0, /nested/],
    ['100,000 nested objects', '{"w":'.repeat(100_000), 0, /nested/],
    ['a name twice', `{"w":${entry('U8', [1], [0, 1])},"w":${entry('U8', [1], [1, 2])}}`, 2, /"w" twice/],
    ['a name twice, once escaped', `{"w":${entry('U8', [1], [0, 1])},"\\u0077":${entry('U8', [1], [1, 2])}}`, 2, /"w" twice/],
    ['a field twice', '{"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1, /"dtype" twice/],
    ['metadata that is a number', '{"__metadata__":{"a":1}}', 0, /expected a string/],
    ['metadata that is a list', '{"__metadata__":["a"]}', 0, /expected an object/],
    ['an entry that is null', '{"w":null}', 0, /expected an object/],
    ['an entry without a shape', '{"w":{"dtype":"U8","data_offsets":[0,1]}}', 1, /tensor "w": expected dtype, shape and data_offsets/],
    ['an unknown dtype', one('Q4', [1], [0, 1]), 1, /expected a dtype of .* but got "Q4"/],
    ['a dtype from the prototype', one('constructor', [1], [0, 1]), 1, /expected a dtype/],
    ['a negative size', one('U8', [-1], [0, 1]), 1, /expected an integer from 0 .* but got "-1\]/],
    ['a fractional size', one('U8', [1.5], [0, 1]), 1, /expected an integer/],
    ['a size of 1e308', '{"w":{"dtype":"U8","shape":[1e308],"data_offsets":[0,1]}}', 1, /expected an integer/],
    ['a size of NaN', '{"w":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}', 1, /expected an integer/],
    ['a size past 2^53', '{"w":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', 1, /expected an integer/],
    ['sizes whose product overflows', one('U8', [MAX_SAFE, MAX_SAFE], [0, 1]), 1, /more bytes than can be counted/],
    ['sizes that overflow beside a zero', one('U8', [MAX_SAFE, MAX_SAFE, 0], [0, 0]), 0, /more bytes than can be counted/],
    ['a negative offset', one('U8', [1], [-1, 0]), 1, /expected an integer/],
    ['a fractional offset', one('U8', [1], [0, 0.5]), 1, /expected an integer/],
    ['an offset that is text', one('U8', [1], ['0', '1']), 1, /expected an integer/],
    ['one offset', one('U8', [1], [1]), 1, /expected data_offsets \[begin, end\].* but got \[1\]/],
    ['three offsets', one('U8', [1], [0, 1, 1]), 1, /expected data_offsets/],
    ['an end before its begin', one('U8', [1], [1, 0]), 1, /begin <= end but got \[1, 0\]/],
    [
      'fewer bytes than the shape needs',
      one('F32', [2], [0, 4]),
      4,
      /expected 8 bytes for F32 \[2\] but got data_offsets \[0, 4\], 4 bytes/,
    ],
    ['more bytes than the shape needs', one('F16', [2], [0, 8]), 8, /expected 4 bytes for F16/],
    ['half a byte', one('F4', [3], [0, 1]), 1, /for F4/],
    ['data past the end of the file', one('F32', [2], [0, 8]), 4, /expected a file of \d+ bytes, as its header says, but got/],
    ['data that no tensor covers', one('F32', [1], [0, 4]), 8, /expected a file of/],
    ['a hole before the first tensor', one('F32', [1], [4, 8]), 8, /tensor "w": expected its data at offset 0 but got 4, a hole/],
    [
      'an overlap',
      `{"a":${entry('U8', [4], [0, 4])},"w":${entry('U8', [4], [2, 6])}}`,
      6,
      /tensor "w": expected its data at offset 4 but got 2, an overlap/,
    ],
    ['two tensors on the same bytes', `{"a":${entry('U8', [4], [0, 4])},"w":${entry('U8', [4], [0, 4])}}`, 4, /an overlap/],
    ['an empty tensor inside another', `{"a":${entry('U8', [4], [0, 4])},"w":${entry('U8', [0], [2, 2])}}`, 4, /an overlap/],
  ])('refuses %s', (_, json, dataBytes, message) => {
    const error = errorOf(() => parse(json, dataBytes));
    expect(error.code).toBe('INVALID_FILE');
    expect(error.message).toMatch(message);
    expect(error.message).toContain('f.safetensors');
    expect(error.message.length).toBeLessThan(500);
  });
});

describe('headerLength', () => {
  const prefix = (length: bigint): Uint8Array => {
    const bytes = Buffer.alloc(PREFIX_BYTES);
    bytes.writeBigUInt64LE(length);
    return bytes;
  };

  test('reads the length', () => {
    expect(headerLength(prefix(56n), 64, 'f')).toBe(56);
  });

  test.each([
    ['past the file', 57n, 64],
    ['past 100 MB', 100_000_001n, 2 ** 40],
    ['2^53 + 1', 2n ** 53n + 1n, 64],
    ['2^63', 2n ** 63n, 2 ** 40],
    ['2^64 - 1', 2n ** 64n - 1n, 64],
  ])('refuses a length %s', (_, length, fileBytes) => {
    const error = errorOf(() => headerLength(prefix(length), fileBytes, 'f'));
    expect(error.code).toBe('INVALID_FILE');
    expect(error.message).toContain(String(length));
  });

  test('refuses a file shorter than the length field', () => {
    expect(errorOf(() => headerLength(new Uint8Array(7), 7, 'f')).code).toBe('INVALID_FILE');
  });
});

describe('encodeHeader', () => {
  const jsonOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(PREFIX_BYTES)).toString('utf8');

  test('writes the bytes that the reference implementation writes', () => {
    // Written by safetensors 0.5.3 for Python.
    const reference =
      '{"__metadata__":{"format":"pt"},"int64":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"float32":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},' +
      '"int32":{"dtype":"I32","shape":[2],"data_offsets":[24,32]},"bfloat16":{"dtype":"BF16","shape":[2],"data_offsets":[32,36]},' +
      '"float16":{"dtype":"F16","shape":[2],"data_offsets":[36,40]},"float8_e4m3fn":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[40,42]},' +
      '"float8_e5m2":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[42,44]},"int8":{"dtype":"I8","shape":[2],"data_offsets":[44,46]},' +
      '"uint8":{"dtype":"U8","shape":[2],"data_offsets":[46,48]},"bool":{"dtype":"BOOL","shape":[2],"data_offsets":[48,50]}}';
    const dtypes = ['bool', 'uint8', 'int8', 'float8_e5m2', 'float8_e4m3fn', 'float16', 'bfloat16', 'int32', 'float32', 'int64'] as const;
    const { bytes, tensors } = encodeHeader(
      dtypes.map((dtype) => ({ name: dtype, dtype, shape: [2] })),
      { format: 'pt' },
    );
    expect(jsonOf(bytes).trimEnd()).toBe(reference);
    expect(bytes.length % 8).toBe(0);
    expect(headerLength(bytes, bytes.length, 'f')).toBe(bytes.length - PREFIX_BYTES);
    expect(tensors.map(({ name }) => name)).toEqual([...dtypes].reverse());
    expect(tensors.map(({ byteLength }) => byteLength)).toEqual([16, 8, 8, 4, 4, 2, 2, 2, 2, 2]);
  });

  test('orders names by their UTF-8 bytes, as the reference implementation does', () => {
    const names = ['\u0001', '"', '10', '9', 'a', 'b', '\u007f', 'é', '\uff5e', '😀'];
    const specs = [...names].reverse().map((name): TensorSpec => ({ name, dtype: 'float32', shape: [1] }));
    expect(encodeHeader(specs).tensors.map(({ name }) => name)).toEqual(names);
  });

  test('equal contents give equal bytes whatever their order', () => {
    const a: TensorSpec = { name: 'a', dtype: 'int8', shape: [3] };
    const b: TensorSpec = { name: 'b', dtype: 'int8', shape: [5] };
    expect(encodeHeader([a, b], { x: '1', y: '2' }).bytes).toEqual(encodeHeader([b, a], { y: '2', x: '1' }).bytes);
  });

  test('what is written is read back', () => {
    const specs: TensorSpec[] = ['__proto__', 'constructor', '', 'a"\\b', '😀'].map((name, i) => ({
      name,
      dtype: 'float8_e4m3fnuz',
      shape: [i, 2],
    }));
    const metadata = JSON.parse('{"__proto__":"p","k":"é\\n"}') as Record<string, string>;
    const { bytes, tensors } = encodeHeader(specs, metadata);
    const dataBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const header = parseHeader(bytes.subarray(PREFIX_BYTES), bytes.length + dataBytes, 'f');
    expect(new Map(Array.from(header.tensors, ([name, { dtype, shape }]) => [name, { name, dtype, shape }]))).toEqual(
      new Map(specs.map((spec) => [spec.name, spec])),
    );
    expect(Object.entries(header.metadata).sort()).toEqual(Object.entries(metadata).sort());
  });

  test.each<[string, TensorSpec, Record<string, unknown>, string]>([
    ['the name __metadata__', { name: '__metadata__', dtype: 'int8', shape: [] }, {}, 'INVALID_ARGUMENT'],
    ['a name with half a surrogate pair', { name: '\ud800', dtype: 'int8', shape: [] }, {}, 'INVALID_ARGUMENT'],
    ['metadata that is not text', { name: 'w', dtype: 'int8', shape: [] }, { a: 1 }, 'INVALID_ARGUMENT'],
    ['a size past 2^53', { name: 'w', dtype: 'int8', shape: [MAX_SAFE, 2] }, {}, 'INVALID_ARGUMENT'],
    ['a dtype that the format lacks', { name: 'w', dtype: 'float128' as 'float32', shape: [] }, {}, 'NOT_SUPPORTED'],
    ['a header of more than 100 MB', { name: 'w'.repeat(100_000_000), dtype: 'int8', shape: [] }, {}, 'NOT_SUPPORTED'],
  ])('refuses %s', (_, spec, metadata, code) => {
    expect(errorOf(() => encodeHeader([spec], metadata as Record<string, string>)).code).toBe(code);
  });
});
