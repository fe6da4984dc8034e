// Handles that are forged, foreign or disposed, and arguments that strike back while they are read: coded errors, never a crash.
import { createServer } from 'node:net';
import { isExternal } from 'node:util/types';

import { native, type Native, type NativeTensor } from '../../lib/native';
import '../../lib/tensor/error';
import { tensor, zeros } from '../../lib/ops';
import { addonPath } from '../harness/addon';
import { coded } from '../harness/errors';

const make = (...values: number[]): NativeTensor => tensor(values).native;
const floats = (handle: NativeTensor): number[] => [...new Float32Array(native.readNow(handle))];
const pretend = (value: unknown): NativeTensor => value as NativeTensor;

/** The External behind a socket. */
function externalOfNode(): unknown {
  const server = createServer().listen(0);
  const external = (server as unknown as { _handle: { _externalStream: unknown } })._handle._externalStream;
  server.close();
  return external;
}

const forged: Record<string, unknown> = {
  undefined: undefined,
  null: null,
  number: 0x7fff12345678,
  string: 'tensor',
  symbol: Symbol('tensor'),
  bigint: 1n,
  'plain object': {},
  function: () => 0,
  proxy: new Proxy({}, {}),
  Tensor: zeros([1]),
  'object that inherits from a handle': Object.create(make(1)) as unknown,
  'proxy of a handle': new Proxy(make(1), {}),
  'External of Node itself': externalOfNode(),
};

describe.each(Object.entries(forged))('%s as a handle', (_, value) => {
  test('is refused by ops, readers and dispose', () => {
    const error = coded('INVALID_HANDLE', "expected 'src' to be a tensor handle");
    expect(() => native.unary(0, pretend(value), 0, 0)).toThrow(error);
    expect(() => native.cat([make(1), pretend(value)], 0)).toThrow(coded('INVALID_HANDLE', /\[cat\] expected 'tensors'/));
    expect(() => native.readNow(pretend(value))).toThrow(coded('INVALID_HANDLE'));
    expect(() => native.readLater(pretend(value))).toThrow(coded('INVALID_HANDLE'));
    expect(() => native.dispose(pretend(value))).toThrow(coded('INVALID_HANDLE'));
  });
});

test('a handle of a second environment on this thread is refused', () => {
  const module = { exports: {} as Native };
  process.dlopen(module, addonPath);
  const foreign = module.exports.full([2], 1, 0, 0);
  expect([...new Float32Array(module.exports.readNow(foreign))]).toEqual([1, 1]);
  expect(() => native.clone(foreign)).toThrow(coded('INVALID_HANDLE', 'belongs to another JS environment'));
  expect(() => native.binary(0, make(1, 2), foreign)).toThrow(coded('INVALID_HANDLE', 'belongs to another JS environment'));
  expect(() => native.dispose(foreign)).toThrow(coded('INVALID_HANDLE', 'belongs to another JS environment'));
  expect([...new Float32Array(module.exports.readNow(foreign))]).toEqual([1, 1]);
});

test('a disposed handle is refused; disposing it again is fine', () => {
  const handle = make(1);
  const view = native.reshape(handle, [1, 1]);
  native.dispose(handle);
  native.dispose(handle);
  expect(() => native.clone(handle)).toThrow(coded('DISPOSED', /\[clone\] 'src' was disposed/));
  expect(() => native.readLater(handle)).toThrow(coded('DISPOSED'));
  expect(floats(view)).toEqual([1]);
});

test('handles are used again, each for one tensor at a time, and the last ones to be disposed are still refused', () => {
  const count = 6000;
  const numbered = (): NativeTensor[] => Array.from({ length: count }, (_, i) => make(i));
  const first = numbered();
  const used = new Set(first);
  for (const handle of first) native.dispose(handle);
  expect(() => native.clone(first[count - 1])).toThrow(coded('DISPOSED'));
  const second = numbered();
  const again = second.filter((handle) => used.has(handle)).length;
  expect(again).toBeGreaterThan(3000);
  expect(again).toBeLessThanOrEqual(4096);
  expect(new Set(second).size).toBe(count);
  expect(second.map((handle) => floats(handle)[0])).toEqual(Array.from({ length: count }, (_, i) => i));
  for (const handle of second) native.dispose(handle);
});

describe('an array with a getter', () => {
  /** An array whose element 0 runs code when it is read. */
  const trap = (code: () => number): number[] => Object.defineProperty([0], 0, { get: code });

  test('may dispose the tensor that stands before it', () => {
    const handle = make(1, 2, 3, 4);
    const shape = trap(() => {
      native.dispose(handle);
      return 4;
    });
    expect(() => native.reshape(handle, shape)).toThrow(coded('DISPOSED', 'reshape'));
  });

  test('may dispose a tensor of the same array', () => {
    const first = make(1);
    const tensors = Object.defineProperty([first, first], 1, {
      get: () => {
        native.dispose(first);
        return make(2);
      },
    });
    // The first element was read before it was disposed.
    expect(floats(native.cat(tensors, 0))).toEqual([1, 2]);
  });

  test('may detach or shrink the memory that stands before it', () => {
    const bytes = new Uint8Array(1 << 20);
    const detach = trap(() => {
      structuredClone(bytes, { transfer: [bytes.buffer] });
      return 1 << 18;
    });
    expect(() => native.fromBytes(bytes, 0, detach, 0)).toThrow(coded('SHAPE_MISMATCH', 'but got 0 bytes'));
    type Resizable = ArrayBuffer & { resize: (bytes: number) => void };
    const ResizableBuffer = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;
    const buffer = new ResizableBuffer(1 << 20, { maxByteLength: 1 << 20 });
    const shrink = trap(() => {
      buffer.resize(16);
      return 1 << 18;
    });
    expect(() => native.fromBytes(new Uint8Array(buffer), 0, shrink, 0)).toThrow(coded('SHAPE_MISMATCH', 'but got 16 bytes'));
  });

  test('that throws gives a coded error', () => {
    const throwing = trap(() => {
      throw new TypeError('mine');
    });
    expect(() => native.reshape(make(1), throwing)).toThrow(coded('INVALID_ARGUMENT', "element 0 of 'shape' cannot be read"));
    expect(floats(make(5))).toEqual([5]);
  });
});

test('values whose text form fails give a coded error all the same', () => {
  const throwing = {
    toString: () => {
      throw new Error('mine');
    },
  };
  for (const value of [throwing, Symbol('s'), Object.create(null)]) {
    expect(() => native.full([1], value as number, 0, 0)).toThrow(
      coded('INVALID_ARGUMENT', "'value' to be a number but got a value without"),
    );
  }
});

test('shared memory is read, detached memory is empty', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(4));
  shared.set([1, 2, 3, 4]);
  expect([...new Uint8Array(native.readNow(native.fromBytes(shared, 4, [4], 0)))]).toEqual([1, 2, 3, 4]);
  expect([...new Uint8Array(native.readNow(native.fromBytes(new DataView(shared.buffer, 1, 2), 4, [2], 0)))]).toEqual([2, 3]);
  expect(() => native.fromBytes(shared.buffer as unknown as ArrayBufferView, 4, [4], 0)).toThrow(
    coded('INVALID_ARGUMENT', 'a typed array'),
  );
  const detached = new Float32Array([1, 2]);
  structuredClone(detached, { transfer: [detached.buffer] });
  expect(() => native.fromBytes(detached, 0, [2], 0)).toThrow(coded('SHAPE_MISMATCH', 'but got 0 bytes'));
  expect(native.shapeOf(native.fromBytes(detached, 0, [0], 0))).toEqual([0]);
});

test('what stands for Node is an External indeed', () => {
  expect(isExternal(forged['External of Node itself'])).toBe(true);
});

test('a value too large to read gives OUT_OF_MEMORY and ends nothing', async () => {
  const vast = native.expand(make(1), [2 ** 45]);
  expect(() => native.readNow(vast)).toThrow(coded('OUT_OF_MEMORY', 'read it in slices'));
  expect(() => native.readLater(vast)).toThrow(coded('OUT_OF_MEMORY', 'read it in slices'));
  expect(new Float32Array(await native.readLater(make(7)))).toEqual(Float32Array.of(7));
});
