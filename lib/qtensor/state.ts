import { sameSizes } from '../tensor/op';
import type { Tensor } from '../tensor/tensor';

import { groupedShape, groupScaleShape, valuesPerIndex } from './grouping';
import { QBitsTensor } from './qbits';
import { partKeys, QBytesTensor, type QTensor } from './qtensor';
import type { QType } from './qtype';
import { scaleShape } from './quantizers';
import { isScaleDType } from './scale';

/** The state-dict name of the codes: bytes of several codes are a tensor within the tensor. */
const codesKey = ({ bits }: QType): string => (bits < 8 ? `${partKeys.codes}._data` : partKeys.codes);

/** The parts of a quantized tensor under their state-dict names; codes in row-major layout, or as bytes of several codes. */
export function saveQTensor(tensor: QTensor, prefix: string): Record<string, Tensor> {
  const { scale, shift } = tensor.stored;
  const parts = { [prefix + codesKey(tensor.qtype)]: tensor.savedCodes.share(), [prefix + partKeys.scale]: scale.share() };
  return shift ? { ...parts, [prefix + partKeys.shift]: shift.share() } : parts;
}

export interface LoadQTensorOptions {
  readonly qtype: QType;
  /** Shape of the values. */
  readonly shape: readonly number[];
  /** The entry of that name, or null; who looks it up reports a missing one. */
  readonly find: (key: string) => Tensor | null;
}

const listed = (sizes: readonly number[]): string => `[${sizes.join(', ')}]`;

/**
 * A weight quantized along axis 0 from its saved parts, which it shares: null when parts are missing, or why they do not fit.
 */
export function loadQTensor(prefix: string, options: LoadQTensorOptions): QTensor | string | null {
  return options.qtype.bits < 8 ? loadBits(prefix, options) : loadBytes(prefix, options);
}

function loadBytes(prefix: string, { qtype, shape, find }: LoadQTensorOptions): QTensor | string | null {
  const codes = find(prefix + partKeys.codes);
  const scale = find(prefix + partKeys.scale);
  if (!codes || !scale) return null;
  if (codes.dtype !== qtype.dtype || !sameSizes(codes.shape, shape)) {
    return `${prefix}${partKeys.codes} expects ${qtype.dtype} ${listed(shape)} but got ${codes.dtype} ${listed(codes.shape)}`;
  }
  const expected = scaleShape(shape, shape[0] === 1 ? null : 0);
  if (!sameSizes(scale.shape, expected))
    return `${prefix}${partKeys.scale} expects shape ${listed(expected)} but got ${listed(scale.shape)}`;
  if (!isScaleDType(scale.dtype)) return `${prefix}${partKeys.scale} expects float32, float16 or bfloat16 but got ${scale.dtype}`;
  return new QBytesTensor(qtype, expected.length === 0 ? null : 0, { codes: codes.share(), scale: scale.share() });
}

/** The group size is not in files: the number of scales tells it. */
function loadBits(prefix: string, { qtype, shape, find }: LoadQTensorOptions): QTensor | string | null {
  const codes = find(prefix + codesKey(qtype));
  const scale = find(prefix + partKeys.scale);
  const shift = find(prefix + partKeys.shift);
  if (!codes || !scale || !shift) return null;
  const rows = scale.shape[0] ?? 0;
  const perRow = valuesPerIndex(shape, 0);
  const groups = rows / shape[0];
  const divides = Number.isInteger(groups) && groups > 0 && perRow % groups === 0;
  if (!divides) return `${prefix}${partKeys.scale} expects groups that divide ${listed(shape)} but got ${listed(scale.shape)}`;
  const groupSize = scale.ndim !== shape.length || groups > 1 ? perRow / groups : null;
  const grouped = groupedShape(shape, 0, groupSize);
  // The original gives a weight of one channel without groups a scale for each value.
  const expected = shape[0] === 1 && groupSize === null && sameSizes(scale.shape, shape) ? shape : groupScaleShape(grouped, 0);
  for (const [key, part] of [[partKeys.scale, scale] as const, [partKeys.shift, shift] as const]) {
    if (!sameSizes(part.shape, expected)) return `${prefix}${key} expects shape ${listed(expected)} but got ${listed(part.shape)}`;
  }
  if (!isScaleDType(scale.dtype)) return `${prefix}${partKeys.scale} expects float32, float16 or bfloat16 but got ${scale.dtype}`;
  if (shift.dtype !== scale.dtype && shift.dtype !== 'uint8' && shift.dtype !== 'int8') {
    return `${prefix}${partKeys.shift} expects ${scale.dtype}, uint8 or int8 but got ${shift.dtype}`;
  }
  const packed = [Math.ceil((grouped[0] * qtype.bits) / 8), ...grouped.slice(1)];
  if (codes.dtype !== 'uint8' || !sameSizes(codes.shape, packed)) {
    return `${prefix}${codesKey(qtype)} expects uint8 ${listed(packed)} but got ${codes.dtype} ${listed(codes.shape)}`;
  }
  const layout = { axis: 0, groupSize, shape: [...shape] } as const;
  return new QBitsTensor(qtype, layout, { codes: codes.share(), scale: scale.share(), shift: shift.share() });
}
