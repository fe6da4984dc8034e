import { native } from '../native';
import * as raw from '../ops/raw';
import { dtypeCode, isReal } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { apply, type Op } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import { QBytesTensor, type QAxis, type QTensor } from './qtensor';
import { type QType, toQType } from './qtype';
import { isScaleDType } from './scale';

interface QuantizeAttributes {
  readonly qtype: QType;
  readonly axis: QAxis;
}

/** Straight-through: the gradient of the values passes to the float tensor unchanged, without a clip mask (Quanto's quantizers). */
const quantizeOp: Op<QuantizeAttributes> = {
  name: 'quantize',
  forward: ([src, scale], { qtype, axis }) =>
    new QBytesTensor(qtype, axis, {
      codes: Tensor.fromNative(native.quantize(src.native, scale.native, dtypeCode(qtype.dtype))),
      scale: scale.share(),
    }),
  vjp: (dy) => [() => dy],
};

function fail(message: string): never {
  throw new QuantoError('INVALID_ARGUMENT', message);
}

/** @internal Types that have no quantized tensor yet are refused before anything changes. */
export function requireAvailable(op: string, qtype: QType): void {
  if (qtype.bits === 8) return;
  throw new QuantoError('NOT_SUPPORTED', `[${op}] ${qtype.name} is not available in this version; use qint8 or a qfloat8 type`);
}

function requireFloat(op: string, src: Tensor): void {
  if (src.isQuantized) fail(`[${op}] expected a float tensor but got a quantized one; dequantize() it first`);
  if (!isReal(src.dtype)) {
    throw new QuantoError('DTYPE_MISMATCH', `[${op}] expected a float tensor but got ${src.dtype}; convert it with .to('float32')`);
  }
}

/** The first or the last axis, as 0 or -1. */
function firstOrLast(op: string, axis: number, ndim: number): 0 | -1 {
  if (axis === 0) return 0;
  if (axis === -1 || axis === ndim - 1) return -1;
  return fail(`[${op}] expected axis 0 or -1 but got ${axis}; scales run along the first or the last dimension only`);
}

/** The shape of the scales of a tensor: [] for one, else 1 everywhere but along the axis. */
export function scaleShape(shape: readonly number[], axis: QAxis): readonly number[] {
  if (axis === null) return [];
  const along = axis === 0 ? 0 : shape.length - 1;
  return shape.map((size, i) => (i === along ? size : 1));
}

/** Checks a scale as Quanto does: one number per tensor, or one for each index along the axis in the shape of the values. */
function checkScale(op: string, src: Tensor, axis: QAxis, scale: Tensor): void {
  const shape = `[${src.shape.join(', ')}]`;
  if (axis !== null && src.ndim < 2) fail(`[${op}] expected at least 2 dimensions for an axis but got shape ${shape}; pass axis null`);
  if (axis !== null && src.shape.at(axis) === 1)
    fail(`[${op}] cannot quantize shape ${shape} along axis ${axis} of size 1; pass axis null`);
  const expected = scaleShape(src.shape, axis);
  if (scale.ndim !== expected.length || scale.shape.some((size, i) => size !== expected[i])) {
    fail(`[${op}] expected a scale of shape [${expected.join(', ')}] for shape ${shape} but got [${scale.shape.join(', ')}]`);
  }
  if (!isScaleDType(scale.dtype)) {
    throw new QuantoError('DTYPE_MISMATCH', `[${op}] expected a scale of float32, float16 or bfloat16 but got ${scale.dtype}`);
  }
  const { hostValue } = scale;
  if (hostValue !== undefined && !(hostValue >= 0 && hostValue < Infinity)) {
    fail(`[${op}] expected a finite scale of at least 0 but got ${hostValue}`);
  }
}

/**
 * The scale that maps the largest magnitude to the largest code: max|x| / qmax in the dtype of `src` (Quanto's absmax_scale).
 * NaN and infinities do not count. Shape [] per tensor; with an axis, 1 elsewhere.
 */
export function absmaxScale(src: Tensor, options: { qtype?: QType | string; axis?: number | null } = {}): Tensor {
  const qtype = toQType(options.qtype ?? 'qint8');
  requireFloat('absmaxScale', src);
  const axis = options.axis ?? null;
  return noGrad(() => Tensor.fromNative(native.absmaxScale(src.native, axis === null ? [] : [axis], qtype.qmax)));
}

/** What computes the scale of a weight: Quanto's symmetric optimizers. */
export interface ScaleOptimizer {
  scale(weight: Tensor, qtype: QType, axis: QAxis): Tensor;
}

/** max|w| / qmax along the axis: the default for 8 bits. */
export class AbsmaxOptimizer implements ScaleOptimizer {
  scale(weight: Tensor, qtype: QType, axis: QAxis): Tensor {
    return absmaxScale(weight, { qtype, axis });
  }
}

export interface QuantizeWeightOptions {
  qtype: QType | string;
  /** 0 or -1: a scale for each index of the first or last dim. null: one scale. A dim of size 1 gets one scale. Default 0. */
  axis?: number | null;
  /** For qint2 and qint4 only. */
  groupSize?: number;
  /** Default: AbsmaxOptimizer. */
  optimizer?: ScaleOptimizer;
  /** Instead of an optimizer. */
  scale?: Tensor;
}

/** Quantizes a weight; the gradient passes straight through to it. */
export function quantizeWeight(src: Tensor, options: QuantizeWeightOptions): QTensor {
  const qtype = toQType(options.qtype);
  requireAvailable('quantizeWeight', qtype);
  requireFloat('quantizeWeight', src);
  if (options.groupSize !== undefined) fail('[quantizeWeight] groups are for types of less than 8 bits; leave groupSize out');
  const asked = options.axis === undefined ? 0 : options.axis;
  let axis: QAxis = asked === null ? null : firstOrLast('quantizeWeight', asked, src.ndim);
  if (axis !== null && src.shape[axis === 0 ? 0 : src.ndim - 1] === 1 && options.scale === undefined) axis = null;
  const scale = options.scale ?? noGrad(() => (options.optimizer ?? new AbsmaxOptimizer()).scale(src, qtype, axis));
  checkScale('quantizeWeight', src, axis, scale);
  return apply(quantizeOp, [src, scale], { qtype, axis }) as QTensor;
}

/** Quantizes an activation with one scale, a scalar tensor in its dtype; the gradient passes straight through. */
export function quantizeActivation(src: Tensor, options: { qtype: QType | string; scale: Tensor }): QTensor {
  const qtype = toQType(options.qtype);
  requireAvailable('quantizeActivation', qtype);
  requireFloat('quantizeActivation', src);
  checkScale('quantizeActivation', src, null, options.scale);
  return apply(quantizeOp, [src, options.scale], { qtype, axis: null }) as QTensor;
}

/** @internal The weight of a linear layer or a convolution with its codes in the form that the device's kernels stream; others as they are. */
export function packForGemm(weight: QTensor): QTensor {
  if (!isPackable(weight.stored.codes) || weight.axis === -1) return weight;
  return weight.mapParts((part, name) => (name === 'codes' ? packCodes(part) : part.share()));
}

/** Whether the codes of a weight along axis 0 are ones that kernels stream in a packed form. */
export const isPackable = ({ dtype, ndim }: Tensor): boolean => dtype === 'int8' && (ndim === 2 || ndim === 4);

/** Codes that are packable, in the packed form; shared if they are in it already. */
export function packCodes(codes: Tensor): Tensor {
  if (native.isPacked(codes.native)) return codes.share();
  using rows = raw.contiguous(codes);
  return Tensor.fromNative(native.packWeight(rows.native));
}
