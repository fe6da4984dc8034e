// Values on the JS side: these block until the values are there.
import { native } from '../native';
import { dtypes } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { requireTensor, sameSizes } from '../tensor/op';
import { tidy } from '../tensor/scope';
import type { NestedArray, Tensor } from '../tensor/tensor';

import * as raw from './raw';

/** The values as JS numbers (booleans for bool) in row-major order; int64 beyond 2^53 lose their last digits. */
function values(src: Tensor): (number | boolean)[] {
  const { kind } = dtypes[src.dtype];
  const converted = tidy(() => raw.cast(src.dequantize(), kind === 'real' ? 'float32' : 'int64'));
  const buffer = native.readNow(converted.native);
  converted.dispose();
  if (kind === 'real') return [...new Float32Array(buffer)];
  return Array.from(new BigInt64Array(buffer), (value) => (kind === 'boolean' ? value !== 0n : Number(value)));
}

/** The value of a tensor of one element, as a number (bool: 0 or 1). */
export function item(src: Tensor): number {
  if (requireTensor('item', src).numel === 1) return Number(values(src)[0]);
  throw new QuantoError(
    'SHAPE_MISMATCH',
    `[item] expected a tensor of one element but got shape [${src.shape.join(', ')}]; use tolist() or data()`,
  );
}

/** The values as nested arrays, as deep as the tensor has dimensions; a 0-d tensor gives a number. */
export function tolist(src: Tensor): NestedArray {
  const flat = values(requireTensor('tolist', src));
  let next = 0;
  const nest = (axis: number): NestedArray => {
    if (axis === src.ndim) return flat[next++];
    return Array.from({ length: src.shape[axis] }, () => nest(axis + 1));
  };
  return nest(0);
}

const holdsEverywhere = (condition: Tensor): boolean => values(raw.reduce('all', condition, [], false))[0] === true;

/** Whether two tensors have one shape and equal values. NaN equals nothing. */
export function equal(a: Tensor, b: Tensor): boolean {
  if (!sameSizes(requireTensor('equal', a).shape, requireTensor('equal', b).shape)) return false;
  return tidy(() => holdsEverywhere(raw.binary('eq', a.dequantize(), b.dequantize())));
}

export interface CloseOptions {
  /** Allowed difference relative to b. Default: 1e-5. */
  rtol?: number;
  /** Allowed difference. Default: 1e-8. */
  atol?: number;
}

/** Whether two tensors have one shape and |a - b| <= atol + rtol * |b| everywhere; equal infinities are close, NaN is not. */
export function allclose(a: Tensor, b: Tensor, { rtol = 1e-5, atol = 1e-8 }: CloseOptions = {}): boolean {
  if (!sameSizes(requireTensor('allclose', a).shape, requireTensor('allclose', b).shape)) return false;
  return tidy(() => {
    const [x, y] = [raw.cast(a.dequantize(), 'float32'), raw.cast(b.dequantize(), 'float32')];
    const bound = raw.add(raw.mul(raw.unary('abs', y), rtol), atol);
    const near = raw.binary('le', raw.unary('abs', raw.sub(x, y)), bound);
    // An infinite bound would take in everything.
    const finite = raw.binary('logicalAnd', near, raw.unary('isfinite', y));
    return holdsEverywhere(raw.binary('logicalOr', finite, raw.binary('eq', x, y)));
  });
}
