import { tensor, tensorFromBytes } from '../../lib/ops';
import { dtypeCode, dtypeOfCode, dtypes, isDType, isReal, type DType } from '../../lib/tensor/dtype';
import { expectError } from '../harness/errors';
import { convertTo, floatFormats, roundTo } from '../harness/rounding';

const names = Object.keys(dtypes) as DType[];
const narrowFloats = names.filter((name) => dtypes[name].kind === 'real' && dtypes[name].bytes < 4);

/** The number that some bits mean, from the formats' definitions; e4m3fn has no infinities, the fnuz format no negative zero. */
function decode(dtype: DType, bits: number): number {
  const { fraction, minExponent } = floatFormats[dtype]!;
  const width = 8 * dtypes[dtype].bytes;
  const exponentBits = width - 1 - fraction;
  const sign = bits >> (width - 1) ? -1 : 1;
  const exponent = (bits >> fraction) & (2 ** exponentBits - 1);
  const mantissa = bits & (2 ** fraction - 1);
  const full = exponent === 2 ** exponentBits - 1;
  if (dtype === 'float8_e4m3fnuz' && bits === 0x80) return NaN;
  if (dtype === 'float8_e4m3fn' && full && mantissa === 7) return NaN;
  if (full && !dtype.startsWith('float8_e4m3')) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (minExponent - fraction);
  return sign * (1 + mantissa / 2 ** fraction) * 2 ** (exponent - 1 + minExponent);
}

test('codes and names are each other', () => {
  for (const name of names) expect(dtypeOfCode(dtypeCode(name))).toBe(name);
  expect(names).toHaveLength(11);
  expectError(() => dtypeCode('float64' as DType), 'INVALID_ARGUMENT', /float32.*float64/);
});

test('isDType and isReal', () => {
  expect(names.every(isDType)).toBe(true);
  expect([undefined, 3, 'float64', 'cpu'].some(isDType)).toBe(false);
  expect(names.filter(isReal)).toEqual(['float32', ...narrowFloats]);
});

test.each(narrowFloats)('every bit pattern of %s is the number that its definition says', (dtype) => {
  const count = 2 ** (8 * dtypes[dtype].bytes);
  const patterns = dtypes[dtype].bytes === 1 ? Uint8Array.from(Array(count).keys()) : Uint16Array.from(Array(count).keys());
  const bytes = new Uint8Array(patterns.buffer);
  const got = tensorFromBytes(bytes, dtype, [count]).to('float32').dataSync() as Float32Array;
  const wrong = [...patterns.keys()].filter((bits) => !Object.is(got[bits], decode(dtype, bits)));
  expect(wrong).toEqual([]);
});

test.each(narrowFloats)('every bit pattern of %s survives the way to float32 and back', (dtype) => {
  const count = 2 ** (8 * dtypes[dtype].bytes);
  const patterns = dtypes[dtype].bytes === 1 ? Uint8Array.from(Array(count).keys()) : Uint16Array.from(Array(count).keys());
  const source = tensorFromBytes(new Uint8Array(patterns.buffer), dtype, [count]);
  const back = source.to('float32').to(dtype).dataSync();
  // A NaN may come back as another NaN, and float8 saturates infinities.
  const differs = (bits: number) => back[bits] !== bits && Number.isFinite(decode(dtype, bits));
  expect([...patterns.keys()].filter(differs)).toEqual([]);
});

test.each(narrowFloats)('float32 rounds to %s to nearest even, at and around the middle of every two neighbours', (dtype) => {
  const count = 2 ** (8 * dtypes[dtype].bytes - 1);
  const finite = Array.from({ length: count }, (_, bits) => decode(dtype, bits))
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const step = Math.max(1, Math.floor(finite.length / 4000));
  const values = new Float32Array(
    finite.slice(0, -1).flatMap((value, i) => {
      if (i % step !== 0) return [];
      const middle = (value + finite[i + 1]) / 2;
      return [middle, middle * (1 + 2 ** -22), middle * (1 - 2 ** -22), -middle];
    }),
  );
  const got = tensor(values).to(dtype).to('float32').dataSync() as Float32Array;
  const wrong = [...values.keys()].filter((i) => !Object.is(got[i], roundTo(dtype, values[i])));
  expect(wrong.map((i) => [values[i], got[i], roundTo(dtype, values[i])])).toEqual([]);
});

test.each(narrowFloats)('numbers beyond %s become infinity, or its largest where it saturates', (dtype) => {
  const { max, saturates } = floatFormats[dtype]!;
  const beyond = tensor([max, 3e38, -3e38, Infinity, -Infinity, NaN]).to(dtype).to('float32').dataSync();
  const end = saturates ? max : Infinity;
  expect([...(beyond as Float32Array)]).toEqual([max, roundTo(dtype, 3e38), roundTo(dtype, -3e38), end, -end, NaN]);
});

test('every 8-bit value converts to every dtype', () => {
  for (const from of names.filter((name) => dtypes[name].bytes === 1 && name !== 'bool')) {
    const bytes = Uint8Array.from(Array(256).keys());
    const source = tensorFromBytes(bytes, from, [256]);
    const values = [...(source.to('float32').dataSync() as Float32Array)];
    for (const target of names) {
      const converted = source.to(target);
      const got = isReal(target)
        ? [...(converted.to('float32').dataSync() as Float32Array)]
        : Array.from(converted.to('int64').dataSync() as BigInt64Array, Number);
      expect({ from, target, got }).toEqual({ from, target, got: values.map((value) => convertTo(target, from, value)) });
    }
  }
});

test('data() gives the class of array that the table names', () => {
  for (const name of names) {
    const { bytes, typedArray } = dtypes[name];
    const data = tensor([1, 0], { dtype: name }).dataSync();
    expect(data.constructor.name).toBe(typedArray.name);
    expect(data.BYTES_PER_ELEMENT).toBe(bytes);
    expect(data).toHaveLength(2);
  }
});
