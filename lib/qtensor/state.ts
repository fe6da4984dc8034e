import type { Tensor } from '../tensor/tensor';

import { partKeys, QBytesTensor, type QTensor } from './qtensor';
import type { QType } from './qtype';
import { scaleShape } from './quantizers';
import { isScaleDType } from './scale';

/** The parts of a quantized tensor under their state-dict names; codes in row-major layout. */
export function saveQTensor(tensor: QTensor, prefix: string): Record<string, Tensor> {
  return { [prefix + partKeys.codes]: tensor.codes.share(), [prefix + partKeys.scale]: tensor.scale.share() };
}

export interface LoadQTensorOptions {
  readonly qtype: QType;
  /** Shape of the values. */
  readonly shape: readonly number[];
  /** The entry of that name, or null; who looks it up reports a missing one. */
  readonly find: (key: string) => Tensor | null;
}

/**
 * A weight quantized along axis 0 from its saved parts, which it shares: null when parts are missing, or why they do not fit.
 */
export function loadQTensor(prefix: string, { qtype, shape, find }: LoadQTensorOptions): QTensor | string | null {
  const codes = find(prefix + partKeys.codes);
  const scale = find(prefix + partKeys.scale);
  if (!codes || !scale) return null;
  const same = (tensor: Tensor, sizes: readonly number[]) =>
    tensor.shape.length === sizes.length && sizes.every((size, i) => size === tensor.shape[i]);
  if (codes.dtype !== qtype.dtype || !same(codes, shape)) {
    return `${prefix}${partKeys.codes} expects ${qtype.dtype} [${shape.join(', ')}] but got ${codes.dtype} [${codes.shape.join(', ')}]`;
  }
  const expected = scaleShape(shape, shape[0] === 1 ? null : 0);
  if (!same(scale, expected)) {
    return `${prefix}${partKeys.scale} expects shape [${expected.join(', ')}] but got [${scale.shape.join(', ')}]`;
  }
  if (!isScaleDType(scale.dtype)) return `${prefix}${partKeys.scale} expects float32, float16 or bfloat16 but got ${scale.dtype}`;
  return new QBytesTensor(qtype, expected.length === 0 ? null : 0, { codes: codes.share(), scale: scale.share() });
}
