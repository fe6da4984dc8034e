import { JsonReader, isWellFormed } from '../../lib/io/json-reader';

const fail = (problem: string): Error => new Error(problem);
const reader = (text: string): JsonReader => new JsonReader(text, fail);

function skipAll(text: string): void {
  const json = reader(text);
  json.skipValue();
  json.end();
}

function accepts(read: (text: string) => unknown, text: string): boolean {
  try {
    read(text);
    return true;
  } catch {
    return false;
  }
}

// Each is valid or not by RFC 8259 alone; JSON.parse is the judge.
const grammar = [
  '{}', '[]', '[1]', '[1,2]', '{"a":1}', '{"a":{"b":[true,false,null]}}', ' \t\r\n{ "a" : 1 } ', '"text"', '"\\u00e9\\n\\"\\\\"', '"\\\\"',
  '0', '-0', '12', '-1.5e+10', '1E5', '0.25', 'true', 'null', '"\u2028"', '"\x7f"',
  '', ' ', '{', '}', '[', ']', '[1,]', '[,1]', '{,}', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', "{'a':1}", '{1:2}', '[1 2]', '{"a" 1}', '[1]]', '{}{}',
  '01', '+1', '1.', '.5', '1e', '1e+', '0x1', '--1', 'NaN', 'Infinity', 'undefined', 'tru', 'True', 'nullx', '"', '"\\"', '"\\x"', '"\\u12"', '"a\nb"',
  '"\t"', '\ufeff{}', '{}\0', '/**/{}', '[1]//', '"a" "b"', '"\\\\\\"',
]; // prettier-ignore

test.each(grammar)('accepts what JSON.parse accepts and nothing else: %j', (text) => {
  expect(accepts(skipAll, text)).toBe(accepts(JSON.parse, text));
});

test('reads what JSON.parse reads', () => {
  const text = '{"a\\"b": "x\\\\", "é": "\\u00e9\\ud83d\\ude00", "": "", "__proto__": "p", "constructor": "c"}';
  const record = reader(text).stringRecord();
  expect(Object.entries(record)).toEqual(Object.entries(JSON.parse(text) as object));
  expect(Object.getPrototypeOf(record)).toBeNull();
});

test('reads integers exactly, and only integers that a double holds', () => {
  expect(reader(' 9007199254740991').nonNegativeInteger()).toBe(Number.MAX_SAFE_INTEGER);
  for (const text of [
    '9007199254740992',
    '18446744073709551616',
    '-1',
    '-0',
    '1.0',
    '0.5',
    '1e3',
    '1e308',
    'NaN',
    '01',
    '"1"',
    'null',
    '[1]',
    '',
  ]) {
    expect(() => {
      const json = reader(text);
      json.nonNegativeInteger();
      json.end();
    }).toThrow(/expected/);
  }
});

test('refuses a key that comes twice, also behind an escape', () => {
  expect(() => skipAll('{"a":1,"a":1}')).toThrow('expected every key once but got "a" twice');
  expect(() => skipAll('{"x":[{"a":1,"\\u0061":2}]}')).toThrow('twice');
  expect(() => skipAll('{"__proto__":1,"__proto__":2}')).toThrow('twice');
  expect(() => skipAll('[{"a":1},{"a":{"a":1}}]')).not.toThrow();
});

test('refuses deep values without exhausting the stack', () => {
  for (const open of ['[', '{"a":']) expect(() => skipAll(open.repeat(100_000))).toThrow('nested');
  expect(() => skipAll('['.repeat(30) + ']'.repeat(30))).not.toThrow();
});

test('refuses half of a surrogate pair', () => {
  expect(() => skipAll('"\\ud800"')).toThrow('well-formed');
  expect(isWellFormed('a\ud83d\ude00')).toBe(true);
  expect(isWellFormed('\ude00\ud83d')).toBe(false);
});

test('a message says where and what', () => {
  expect(() => reader('{"a": tru}').object(() => undefined)).toThrow('expected "," or "}" at character 6 but got "tru}"');
  expect(() => skipAll('["abc')).toThrow('expected a string that ends at character 1 but got "\\"abc"');
  expect(() => skipAll('[')).toThrow('expected a JSON value at character 1 but got the end of the text');
});
