// Native calls on plain tensors, without recording or quantized dispatch: what forward functions and gradients are written in.
import { BinaryOp, native, ReduceOp, UnaryOp } from '../native';
import { dtypeCode, type DType, isReal } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { Tensor } from '../tensor/tensor';

const wrap = (handle: Parameters<typeof Tensor.fromNative>[0]) => Tensor.fromNative(handle);

export function unary(name: keyof typeof UnaryOp, src: Tensor, a = 0, b = 0): Tensor {
  return wrap(native.unary(UnaryOp[name], src.native, a, b));
}

/** A row of csrc/binary.def on a tensor and a tensor or number. */
export function binary(name: keyof typeof BinaryOp, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === 'number') return wrap(native.binaryScalar(BinaryOp[name], a.native, b, false));
  return wrap(native.binary(BinaryOp[name], a.native, b.native));
}

/** The same with the number first. */
export function binaryReversed(name: keyof typeof BinaryOp, a: number, b: Tensor): Tensor {
  return wrap(native.binaryScalar(BinaryOp[name], b.native, a, true));
}

export const add = (a: Tensor, b: Tensor | number): Tensor => binary('add', a, b);
export const sub = (a: Tensor, b: Tensor | number): Tensor => binary('sub', a, b);
export const mul = (a: Tensor, b: Tensor | number): Tensor => binary('mul', a, b);
export const div = (a: Tensor, b: Tensor | number): Tensor => binary('div', a, b);
export const neg = (a: Tensor): Tensor => unary('neg', a);

export function reduce(name: keyof typeof ReduceOp, src: Tensor, axes: readonly number[], keepdim: boolean, correction = 0): Tensor {
  return wrap(native.reduce(ReduceOp[name], src.native, axes, keepdim, correction));
}

export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor => wrap(native.where(condition.native, a.native, b.native));

/** Values where the condition holds, zero elsewhere; a gradient that passes only there. */
export function mask(values: Tensor, condition: Tensor): Tensor {
  return wrap(native.where(condition.native, values.native, zeros([], values).native));
}

export const matmul = (a: Tensor, b: Tensor): Tensor => wrap(native.matmul(a.native, b.native));
export const reshape = (src: Tensor, shape: readonly number[]): Tensor => wrap(native.reshape(src.native, shape));
export const permute = (src: Tensor, axes: readonly number[]): Tensor => wrap(native.permute(src.native, axes));
export const expand = (src: Tensor, shape: readonly number[]): Tensor => wrap(native.expand(src.native, shape));
export const cast = (src: Tensor, dtype: DType): Tensor => wrap(native.toDType(src.native, dtypeCode(dtype)));
/** Integers of any dtype as those that index; floats as they are, for an index refuses them. */
export const asIndex = (src: Tensor): Tensor => (isReal(src.dtype) ? src : cast(src, 'int64'));
export const contiguous = (src: Tensor): Tensor => wrap(native.makeContiguous(src.native));

/** Swaps the last two dims. */
export function transposeLast(src: Tensor): Tensor {
  const axes = src.shape.map((_, i) => i);
  axes.push(...axes.splice(-2).reverse());
  return permute(src, axes);
}

export const slice = (src: Tensor, axis: number, start: number, end: number, step = 1): Tensor =>
  wrap(native.slice(src.native, axis, start, end, step));
export const pad = (src: Tensor, before: readonly number[], after: readonly number[], value = 0): Tensor =>
  wrap(native.pad(src.native, before, after, value));

/** One value in a shape, with another tensor's dtype and device. */
export function full(shape: readonly number[], value: number, like: Tensor): Tensor {
  return wrap(native.full(shape, value, dtypeCode(like.dtype), native.deviceOf(like.native)));
}

export const zeros = (shape: readonly number[], like: Tensor): Tensor => full(shape, 0, like);

/** Negative axes count from the end, as everywhere. */
export function wrapAxis(axis: number, ndim: number): number {
  return axis < 0 ? axis + ndim : axis;
}

/** The same for an axis that nobody has checked; a 0-d tensor has axis 0, as in PyTorch. */
export function axisOf(op: string, axis: number, ndim: number): number {
  const range = Math.max(ndim, 1);
  if (Number.isInteger(axis) && axis >= -range && axis < range) return wrapAxis(axis, range);
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected an axis from ${-range} to ${range - 1} but got ${String(axis)}`);
}
