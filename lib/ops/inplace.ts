// In-place writes run in stream order and bump the version that backward checks. They are never recorded.
import { native } from '../native';
import { QuantoError } from '../tensor/error';
import { recordsGradient } from '../tensor/grad-mode';
import { requireTensor } from '../tensor/op';
import { showOp } from '../tensor/op-observer';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import * as raw from './raw';

function requireWritable(op: string, dst: Tensor, sources: readonly Tensor[] = []): void {
  for (const operand of [dst, ...sources]) {
    if (!recordsGradient([requireTensor(op, operand)])) continue;
    throw new QuantoError(
      'AUTOGRAD',
      `[${op}] in-place writes are not recorded for backward, but an operand requires a gradient; wrap the call in noGrad(() => ...)`,
    );
  }
  showOp({ name: op }, [dst, ...sources], dst);
  if (dst.isQuantized) {
    throw new QuantoError(
      'NOT_SUPPORTED',
      `[${op}] expected a plain tensor to write to but got a quantized one; quantize the new values instead`,
    );
  }
}

/** dst[...] = src, broadcast and converted. Returns dst. */
export function copy_(dst: Tensor, src: Tensor): Tensor {
  requireWritable('copy_', dst, [src]);
  tidy(() => native.copyInPlace(dst.native, src.dequantize().native));
  return dst;
}

export function fill_(dst: Tensor, value: number): Tensor {
  requireWritable('fill_', dst);
  native.fillInPlace(dst.native, value);
  return dst;
}

export function zero_(dst: Tensor): Tensor {
  requireWritable('zero_', dst);
  native.fillInPlace(dst.native, 0);
  return dst;
}

/** dst += src, broadcast and converted to dst's dtype. Returns dst. */
export function add_(dst: Tensor, src: Tensor | number): Tensor {
  requireWritable('add_', dst, typeof src === 'number' ? [] : [src]);
  tidy(() => native.addInPlace(dst.native, (typeof src === 'number' ? raw.full([], src, dst) : src.dequantize()).native));
  return dst;
}

/** dst *= src. Returns dst. */
export function mul_(dst: Tensor, src: Tensor | number): Tensor {
  requireWritable('mul_', dst, typeof src === 'number' ? [] : [src]);
  tidy(() => native.copyInPlace(dst.native, raw.mul(dst, typeof src === 'number' ? src : src.dequantize()).native));
  return dst;
}
