import { tensor, tensorFromBytes, zeros } from '../../lib/ops';
import { requireRealDType } from '../../lib/ops/creation';
import type { DType } from '../../lib/tensor/dtype';
import { creationCases, creationFailures } from '../cases/creation';
import { expectError } from '../harness/errors';
import { runCases } from '../harness/run-cases';

runCases(creationCases, creationFailures);

describe('tensor', () => {
  test('numbers become float32, booleans bool, bigints int64', () => {
    expect(tensor(3).dtype).toBe('float32');
    expect(tensor([1, 2.5]).dtype).toBe('float32');
    expect(tensor([[true], [false]]).dtype).toBe('bool');
    expect(tensor([1n]).dtype).toBe('int64');
    expect(tensor([]).dtype).toBe('float32');
    expect(tensor([1, true]).dtype).toBe('float32');
  });

  test('nested arrays give the shape, or the option does', () => {
    expect(tensor([[[1, 2, 3]], [[4, 5, 6]]]).shape).toEqual([2, 1, 3]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(tensor([1, 2, 3, 4], { shape: [2, 2] }).tolist()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(tensor(7, { shape: [1, 1] }).shape).toEqual([1, 1]);
  });

  test('typed arrays keep their dtype', () => {
    const rows: [ArrayBufferView, DType][] = [
      [new Float32Array([1, 2]), 'float32'],
      [new Int8Array([1, 2]), 'int8'],
      [new Uint8Array([1, 2]), 'uint8'],
      [new Uint8ClampedArray([1, 2]), 'uint8'],
      [Buffer.from([1, 2]), 'uint8'],
      [new Int32Array([1, 2]), 'int32'],
      [new BigInt64Array([1n, 2n]), 'int64'],
      [new Float64Array([1, 2]), 'float32'],
      [new Int16Array([1, 2]), 'float32'],
    ];
    for (const [data, dtype] of rows) {
      const made = tensor(data);
      expect([made.dtype, made.tolist()]).toEqual([dtype, [1, 2]]);
    }
  });

  test('a typed array is converted where the dtype says so, and read as raw bits where it is their carrier', () => {
    expect(tensor(new Float32Array([1.5, -2.5]), { dtype: 'int32' }).tolist()).toEqual([1, -2]);
    expect(tensor(new Uint8Array([0, 7]), { dtype: 'bool' }).tolist()).toEqual([false, true]);
    expect(tensor(new Uint16Array([0x3c00, 0xc000]), { dtype: 'float16' }).tolist()).toEqual([1, -2]);
    expect(tensor(new Uint16Array([0x3f80, 0xc000]), { dtype: 'bfloat16' }).tolist()).toEqual([1, -2]);
    expect(tensor(new Uint8Array([0x38]), { dtype: 'float8_e4m3fn' }).tolist()).toEqual([1]);
    expect(tensor(new Float64Array([1e-3]), { dtype: 'float16' }).dtype).toBe('float16');
    expectError(() => tensor(new Uint16Array([1])), 'INVALID_ARGUMENT', /raw bits.*float16.*bfloat16/);
  });

  test('the data is copied at the call', () => {
    const data = new Float32Array([1, 2]);
    const x = tensor(data);
    data[0] = 99;
    expect(x.tolist()).toEqual([1, 2]);
  });

  test('a part of a buffer is that part', () => {
    const all = new Float32Array([1, 2, 3, 4]);
    expect(tensor(all.subarray(1, 3)).tolist()).toEqual([2, 3]);
    expect(tensor(Buffer.from([9, 8, 7]).subarray(1)).tolist()).toEqual([8, 7]);
  });

  test('numbers that a dtype cannot hold are refused; fractions are truncated', () => {
    expect(tensor([1.9, -1.9], { dtype: 'int8' }).tolist()).toEqual([1, -1]);
    for (const [value, dtype] of [
      [128, 'int8'],
      [-1, 'uint8'],
      [2 ** 31, 'int32'],
      [2n ** 63n, 'int64'],
      [NaN, 'int32'],
      [Infinity, 'int64'],
    ] as [number, DType][]) {
      expectError(() => tensor([value], { dtype }), 'INVALID_ARGUMENT', /\[tensor\] expected values from/);
    }
  });

  test('ragged and foreign data is refused', () => {
    expectError(() => tensor([[1, 2], [3]]), 'SHAPE_MISMATCH', /dimension 1/);
    expectError(() => tensor([[1], 2]), 'SHAPE_MISMATCH');
    expectError(() => tensor([1, [2]]), 'INVALID_ARGUMENT');
    for (const data of [undefined, null, 'text', {}, [['x']], [undefined], new DataView(new ArrayBuffer(4))]) {
      expectError(() => tensor(data as never), 'INVALID_ARGUMENT', /\[tensor\]/);
    }
    expectError(() => tensor([1, 2, 3], { shape: [2] }), 'SHAPE_MISMATCH', /\[tensor\].*\[2\]/);
    expectError(() => tensor([1], { dtype: 'float64' as never }), 'INVALID_ARGUMENT');
    expectError(() => tensor([1], { device: 'tpu' }), 'DEVICE_UNAVAILABLE');
  });

  test('a large nested array does not overflow the stack', () => {
    const row = Array<number>(200_000).fill(1);
    expect(tensor([row, row]).shape).toEqual([2, 200_000]);
  });
});

test('tensorFromBytes copies little-endian bytes', () => {
  const bytes = new Uint8Array([1, 0, 255, 255]);
  const x = tensorFromBytes(bytes, 'int32', [1]);
  bytes[0] = 9;
  expect(x.item()).toBe(-65535);
  expect(x.bytesSync()).toEqual(new Uint8Array([1, 0, 255, 255]));
  expectError(() => tensorFromBytes(bytes, 'int32', [2]), 'SHAPE_MISMATCH', /4 bytes/);
});

test('requireRealDType names what layers can hold', () => {
  expect(() => requireRealDType('Linear', 'bfloat16')).not.toThrow();
  expectError(() => requireRealDType('Linear', 'int8'), 'DTYPE_MISMATCH', /\[Linear\] expected one of float32, .*int8/);
});

test('requiresGrad is an option of every creation', () => {
  expect(zeros([2], { requiresGrad: true }).requiresGrad).toBe(true);
  expect(tensor([1], { requiresGrad: true }).requiresGrad).toBe(true);
});
