import { native } from '../native';
import { type Device, deviceCode, isDevice } from '../tensor/device';
import { type DType, isDType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireTensor } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

const cloneOp: Op = { name: 'clone', forward: ([src]) => Tensor.fromNative(native.clone(src.native)), vjp: (dy) => [() => dy] };

/** A row-major copy in memory of its own. */
export function clone(src: Tensor): Tensor {
  return apply(cloneOp, [src], undefined);
}

const contiguousOp: Op = { name: 'contiguous', forward: ([src]) => raw.contiguous(src), vjp: (dy) => [() => dy] };

/** The values in row-major order: the source itself where they are already. */
export function contiguous(src: Tensor): Tensor {
  return apply(contiguousOp, [src], undefined);
}

/** The engine converts the gradient back. */
const toDTypeOp: Op<DType> = { name: 'toDType', forward: ([src], dtype) => raw.cast(src, dtype), vjp: (dy) => [() => dy] };

interface Move {
  readonly from: Device;
  readonly to: Device;
}

const move = (src: Tensor, to: Device) => Tensor.fromNative(native.toDevice(src.native, deviceCode(to)));
const toDeviceOp: Op<Move> = {
  name: 'toDevice',
  forward: ([src], { to: device }) => move(src, device),
  vjp: (dy, _, { attributes: { from } }) => [() => move(dy, from)],
};

/**
 * Converted to a dtype, or moved to a device; the tensor itself where there is nothing to do. To narrower floats values are rounded to
 * nearest even (float8 saturates); from floats to integers they are truncated and saturate, NaN becomes 0; wider
 * integers keep their low bits in narrower ones; to bool they are x != 0.
 */
export function to(src: Tensor, target: DType | Device): Tensor {
  requireTensor('to', src);
  if (isDType(target)) return src.dtype === target ? src : apply(toDTypeOp, [src], target);
  if (!isDevice(target)) throw new QuantoError('INVALID_ARGUMENT', `[to] expected a dtype or a device but got ${String(target)}`);
  const { device } = src;
  // 'cuda' is 'cuda:0': two names of one device have one code.
  return deviceCode(device) === deviceCode(target) ? src : apply(toDeviceOp, [src], { from: device, to: target });
}

export const float = (src: Tensor): Tensor => to(src, 'float32');
export const half = (src: Tensor): Tensor => to(src, 'float16');
export const cpu = (src: Tensor): Tensor => to(src, 'cpu');
export const cuda = (src: Tensor): Tensor => to(src, 'cuda');

export const convertOps: readonly AnyOp[] = [cloneOp, contiguousOp, toDTypeOp, toDeviceOp];
