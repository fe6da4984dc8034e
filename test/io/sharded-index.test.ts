import { encodeIndex, groupByShard, isShardName, parseIndex, planShards, shardName } from '../../lib/io/sharded-index';

const parse = (text: string | Uint8Array): Map<string, string> => parseIndex(Buffer.from(text), 'i.json');

test('reads the weight map whatever else the index holds', () => {
  const map = parse('{"metadata":{"total_size":12.0,"x":[{}]},"weight_map":{"b":"2.safetensors","__proto__":"1.safetensors"},"y":null}');
  expect([...map]).toEqual([
    ['b', '2.safetensors'],
    ['__proto__', '1.safetensors'],
  ]);
});

test.each([
  ['a folder above', '{"weight_map":{"w":"../../etc/x.safetensors"}}', /beside the index but got "\.\.\/\.\.\/etc/],
  ['an absolute path', '{"weight_map":{"w":"/etc/x.safetensors"}}', /beside the index/],
  ['a folder on Windows', '{"weight_map":{"w":"..\\\\x.safetensors"}}', /beside the index/],
  ['a drive on Windows', '{"weight_map":{"w":"c:x.safetensors"}}', /beside the index/],
  ['a zero byte', '{"weight_map":{"w":"x\\u0000.safetensors"}}', /beside the index/],
  ['another kind of file', '{"weight_map":{"w":"passwd"}}', /beside the index/],
  ['an empty name', '{"weight_map":{"w":""}}', /beside the index/],
  ['a shard that is not text', '{"weight_map":{"w":1}}', /expected a string/],
  ['a name twice', '{"weight_map":{"w":"a.safetensors","w":"b.safetensors"}}', /twice/],
  ['no weight map', '{"metadata":{}}', /expected a weight_map/],
  ['a list', '[]', /expected an object/],
  ['nothing', '', /expected an object/],
  ['deep JSON', `{"metadata":${'['.repeat(100_000)}`, /nested/],
  ['bytes that are not UTF-8', Uint8Array.of(0xff), /UTF-8/],
])('refuses %s', (_, text, message) => {
  let error: unknown;
  try {
    parse(text);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toMatchObject({ code: 'INVALID_FILE' });
  expect((error as Error).message).toMatch(message);
});

test('groups tensors by shard', () => {
  const map = new Map([
    ['a', '1.safetensors'],
    ['b', '2.safetensors'],
    ['c', '1.safetensors'],
  ]);
  expect([...groupByShard(map)]).toEqual([
    ['1.safetensors', ['a', 'c']],
    ['2.safetensors', ['b']],
  ]);
});

test.each([
  [[4, 4, 4], 8, [['0', '1'], ['2']]],
  [[4, 20, 4], 8, [['0'], ['1'], ['2']]],
  [[20], 8, [['0']]],
  [[0, 8, 0, 1], 8, [['0', '1', '2'], ['3']]],
  [[], 8, [[]]],
])('plans shards for tensors of %j bytes, at most %d a shard', (sizes, maxShardBytes, shards) => {
  expect(
    planShards(
      sizes.map((byteLength, i) => ({ name: String(i), byteLength })),
      maxShardBytes,
    ),
  ).toEqual(shards);
});

test('names shards as Hugging Face libraries do', () => {
  expect(shardName('model', 0, 12)).toBe('model-00001-of-00012.safetensors');
  expect(isShardName(shardName('model', 0, 12))).toBe(true);
  expect(isShardName('model.safetensors')).toBe(false);
});

test('what is written is read back, and equals json.dumps(indent=2, sort_keys=True) of Python', () => {
  const map = new Map([
    ['w.b', 'model-00002-of-00002.safetensors'],
    ['w.a', 'model-00001-of-00002.safetensors'],
    ['__proto__', 'model-00001-of-00002.safetensors'],
  ]);
  const text = encodeIndex(map, 24);
  expect(parse(text)).toEqual(map);
  expect(encodeIndex(new Map([...map].slice(0, 2)), 24)).toBe(
    '{\n  "metadata": {\n    "total_size": 24\n  },\n  "weight_map": {\n    "w.a": "model-00001-of-00002.safetensors",\n    "w.b": "model-00002-of-00002.safetensors"\n  }\n}\n',
  );
});
