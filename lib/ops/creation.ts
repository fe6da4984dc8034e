import { native } from '../native';
import { type DType, dtypeCode, dtypes, isReal } from '../tensor/dtype';
import { type Device, deviceCode } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { type NestedArray, Tensor } from '../tensor/tensor';

/** How to make a tensor. */
export interface TensorOptions {
  /** Default: float32, or what the data says. */
  dtype?: DType;
  /** Default: 'cpu'. */
  device?: Device;
  /** Whether ops on it are recorded for backward(). Default: false. */
  requiresGrad?: boolean;
}

/** A function that makes a tensor of a shape. */
type Filler = (shape: readonly number[], options?: TensorOptions) => Tensor;

function finish(tensor: Tensor, options: TensorOptions): Tensor {
  if (options.requiresGrad === true) tensor.requiresGrad = true;
  return tensor;
}

/** A tensor of one value. */
export function full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
  const { dtype = 'float32', device = 'cpu' } = options;
  return finish(Tensor.fromNative(native.full(shape, value, dtypeCode(dtype), deviceCode(device))), options);
}

export const zeros: Filler = (shape, options) => full(shape, 0, options);
export const ones: Filler = (shape, options) => full(shape, 1, options);

export function fullLike(like: Tensor, value: number, options: TensorOptions = {}): Tensor {
  return full(like.shape, value, { dtype: like.dtype, device: like.device, ...options });
}

export function zerosLike(like: Tensor, options?: TensorOptions): Tensor {
  return fullLike(like, 0, options);
}

export function onesLike(like: Tensor, options?: TensorOptions): Tensor {
  return fullLike(like, 1, options);
}

/** Numbers from start (0 by default) to below end, in steps; int64 when all three are integers, as in PyTorch. */
export function arange(end: number): Tensor;
export function arange(start: number, end: number, step?: number, options?: TensorOptions): Tensor;
export function arange(first: number, second?: number, step = 1, options: TensorOptions = {}): Tensor {
  const [start, end] = second === undefined ? [0, first] : [first, second];
  const { dtype = [start, end, step].every((value) => Number.isInteger(value)) ? 'int64' : 'float32', device = 'cpu' } = options;
  return finish(Tensor.fromNative(native.arange(start, end, step, dtypeCode(dtype), deviceCode(device))), options);
}

/** Ones on the diagonal; [rows, columns], square by default. */
export function eye(rows: number, columns = rows, options: TensorOptions = {}): Tensor {
  const { dtype = 'float32', device = 'cpu' } = options;
  return finish(Tensor.fromNative(native.eye(rows, columns, dtypeCode(dtype), deviceCode(device))), options);
}

function isScalar(value: unknown): value is number | bigint | boolean {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
}

function nestedShape(data: NestedArray): number[] {
  const shape: number[] = [];
  for (let level: NestedArray | undefined = data; Array.isArray(level); level = level[0]) shape.push(level.length);
  return shape;
}

/** The numbers of a nested array in row-major order; every level must have one length. */
function flatten(data: NestedArray, shape: readonly number[], axis = 0): (number | bigint | boolean)[] {
  if (axis === shape.length) {
    if (isScalar(data)) return [data];
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[tensor] expected numbers nested ${shape.length} deep but got ${String(data)} at that depth`,
    );
  }
  if (!Array.isArray(data) || data.length !== shape[axis]) {
    const came = Array.isArray(data) ? `${data.length} elements` : String(data);
    throw new QuantoError(
      'SHAPE_MISMATCH',
      `[tensor] expected ${shape[axis]} elements in every array of dimension ${axis} but got ${came}`,
    );
  }
  return data.flatMap((item) => flatten(item, shape, axis + 1));
}

const integerLimits: Partial<Record<DType, [bigint, bigint]>> = {
  int8: [-128n, 127n],
  uint8: [0n, 255n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
};

/** Typed memory of numbers in a dtype that JS has an array for; narrow floats are made from float32 on the native side. */
function pack(values: readonly (number | bigint | boolean)[], dtype: DType): { memory: ArrayBufferView; dtype: DType } {
  const limits = integerLimits[dtype];
  if (dtype === 'bool') return { memory: Uint8Array.from(values, (value) => (Number(value) === 0 ? 0 : 1)), dtype };
  if (!limits) return { memory: Float32Array.from(values, Number), dtype: 'float32' };
  const integers = values.map((value) => {
    const truncated = typeof value === 'number' ? Math.trunc(value) : Number(value);
    const integer = typeof value === 'bigint' ? value : Number.isFinite(truncated) ? BigInt(truncated) : limits[1] + 1n;
    if (integer >= limits[0] && integer <= limits[1]) return integer;
    throw new QuantoError('INVALID_ARGUMENT', `[tensor] expected values from ${limits[0]} to ${limits[1]} for ${dtype} but got ${value}`);
  });
  if (dtype === 'int64') return { memory: BigInt64Array.from(integers), dtype };
  const arrays = { int8: Int8Array, uint8: Uint8Array, int32: Int32Array };
  return { memory: new arrays[dtype as keyof typeof arrays](integers.map(Number)), dtype };
}

function guessDType(values: readonly (number | bigint | boolean)[]): DType {
  if (values.length > 0 && values.every((value) => typeof value === 'boolean')) return 'bool';
  if (values.length > 0 && values.every((value) => typeof value === 'bigint')) return 'int64';
  return 'float32';
}

/** dtypes whose raw bits a typed array may be; the first is what it means by itself. Named, because jest's realms have other classes. */
const arrayDTypes: Readonly<Record<string, readonly DType[]>> = {
  Float32Array: ['float32'],
  Float16Array: ['float16'],
  Uint16Array: ['float16', 'bfloat16'],
  Int8Array: ['int8'],
  Uint8Array: ['uint8', 'bool', 'float8_e4m3fn', 'float8_e4m3fnuz', 'float8_e5m2'],
  Uint8ClampedArray: ['uint8'],
  Buffer: ['uint8', 'bool', 'float8_e4m3fn', 'float8_e4m3fnuz', 'float8_e5m2'],
  Int32Array: ['int32'],
  BigInt64Array: ['int64'],
};

function fromTypedArray(data: ArrayBufferView, dtype: DType | undefined): { memory: ArrayBufferView; dtype: DType; length: number } {
  const name = data.constructor.name;
  const meant = arrayDTypes[name];
  const length = (data as unknown as ArrayLike<number>).length;
  if (!meant) {
    if (name === 'DataView')
      throw new QuantoError('INVALID_ARGUMENT', '[tensor] expected a typed array but got a DataView; wrap its buffer');
    return { ...pack([...(data as unknown as Iterable<number | bigint>)], dtype ?? 'float32'), length };
  }
  if (name === 'Uint16Array' && (dtype === undefined || !meant.includes(dtype))) {
    throw new QuantoError('INVALID_ARGUMENT', "[tensor] a Uint16Array holds raw bits; pass dtype 'float16' or 'bfloat16'");
  }
  if (dtype === 'bool')
    return { memory: Uint8Array.from(data as unknown as ArrayLike<number>, (value) => (value === 0 ? 0 : 1)), dtype, length };
  return { memory: data, dtype: dtype !== undefined && meant.includes(dtype) ? dtype : meant[0], length };
}

/**
 * A tensor from numbers, nested arrays or a typed array; the data is copied at the call. Numbers become float32, booleans bool and bigints
 * int64 unless `dtype` says otherwise. A Uint16Array with dtype float16 or bfloat16, and a Uint8Array with a float8 dtype, are raw bits.
 */
export function tensor(data: NestedArray | ArrayBufferView, options: TensorOptions & { shape?: readonly number[] } = {}): Tensor {
  const { device = 'cpu' } = options;
  if (options.dtype !== undefined) dtypeCode(options.dtype);
  let source: { memory: ArrayBufferView; dtype: DType };
  let shape: readonly number[];
  if (ArrayBuffer.isView(data)) {
    const typed = fromTypedArray(data, options.dtype);
    source = typed;
    shape = [typed.length];
  } else if (Array.isArray(data) || isScalar(data)) {
    shape = nestedShape(data);
    const values = flatten(data, shape);
    source = pack(values, options.dtype ?? guessDType(values));
  } else {
    throw new QuantoError('INVALID_ARGUMENT', `[tensor] expected numbers, nested arrays or a typed array but got ${String(data)}`);
  }
  const bytes = native.fromBytes(source.memory, dtypeCode(source.dtype), options.shape ?? shape, deviceCode(device));
  const wanted = options.dtype ?? source.dtype;
  const made = Tensor.fromNative(wanted === source.dtype ? bytes : native.toDType(bytes, dtypeCode(wanted)));
  // Scales are made this way, and two scales can be told to be equal only by values that the host knows.
  if (source.memory instanceof Float32Array && source.memory.length === 1 && wanted === 'float32') made.setHostValue(source.memory[0]);
  return finish(made, options);
}

/** A tensor from its row-major little-endian bytes, which are copied. */
export function tensorFromBytes(bytes: Uint8Array, dtype: DType, shape: readonly number[], device: Device = 'cpu'): Tensor {
  return Tensor.fromNative(native.fromBytes(bytes, dtypeCode(dtype), shape, deviceCode(device)));
}

/** @internal Default for layers: only real dtypes carry weights. */
export function requireRealDType(op: string, dtype: DType): void {
  if (isReal(dtype)) return;
  const real = Object.values(dtypes).filter((row) => row.kind === 'real');
  throw new QuantoError('DTYPE_MISMATCH', `[${op}] expected one of ${real.map((row) => row.name).join(', ')} but got ${dtype}`);
}
