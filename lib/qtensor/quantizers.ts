import { native } from '../native';
import * as raw from '../ops/raw';
import { type DType, dtypeCode, isReal } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { apply, type Op } from '../tensor/op';
import { tidy } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import { group, groupedShape, groupScaleShape, valuesPerIndex } from './grouping';
import { type AffineOptimizer, isAffine, MaxOptimizer, type ScaleAndShift, type ScaleOptimizer, type WeightOptimizer } from './optimizers';
import { type BitsLayout, quantizeBits } from './qbits';
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

interface QuantizeBitsAttributes {
  readonly qtype: QType;
  readonly layout: BitsLayout;
}

/** The same for groups of less than 8 bits. */
const quantizeBitsOp: Op<QuantizeBitsAttributes> = {
  name: 'quantizeBits',
  forward: ([src, scale, shift], { qtype, layout }) => quantizeBits(src, qtype, layout, scale, shift),
  vjp: (dy) => [() => dy],
};

function fail(message: string): never {
  throw new QuantoError('INVALID_ARGUMENT', message);
}

/** @internal Types of less than 8 bits are for weights. */
export function requireActivationType(op: string, qtype: QType): void {
  if (qtype.bits === 8) return;
  throw new QuantoError('NOT_SUPPORTED', `[${op}] ${qtype.name} is for weights; activations take qint8 or a qfloat8 type`);
}

/** @internal An optimizer gives scales, for 8 bits, or scales and shifts, for less. */
export function requireFitting(op: string, qtype: QType, optimizer: WeightOptimizer): void {
  if (isAffine(optimizer) === qtype.bits < 8) return;
  const fitting = qtype.bits < 8 ? 'an affine one, such as MaxOptimizer' : 'a symmetric one, such as AbsmaxOptimizer';
  fail(`[${op}] ${qtype.name} takes ${fitting}, but got ${optimizer.constructor.name}`);
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
export function scaleShape(shape: readonly number[], axis: 0 | -1 | null): readonly number[] {
  if (axis === null) return [];
  const along = axis === 0 ? 0 : shape.length - 1;
  return shape.map((size, i) => (i === along ? size : 1));
}

/** Checks a scale as Quanto does: one number per tensor, or one for each index along the axis in the shape of the values. */
function checkScale(op: string, src: Tensor, axis: 0 | -1 | null, scale: Tensor): void {
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

/** max|w| / qmax along the axis: the default for 8 bits. */
export class AbsmaxOptimizer implements ScaleOptimizer {
  scale(weight: Tensor, qtype: QType, axis: 0 | -1 | null): Tensor {
    return absmaxScale(weight, { qtype, axis });
  }
}

export interface QuantizeWeightOptions {
  qtype: QType | string;
  /**
   * 0 or -1: a scale for each index of the first or last dim. null: one scale, for 8 bits only. Of 8 bits, a dim of size 1 gets one
   * scale. Default 0.
   */
  axis?: number | null;
  /** For qint2 and qint4: so many values share a scale. Left out: all with one index along the axis. */
  groupSize?: number;
  /** Default: AbsmaxOptimizer, or MaxOptimizer for qint2 and qint4. */
  optimizer?: WeightOptimizer;
  /** Instead of an optimizer; for qint2 and qint4 in the shape that broadcasts to the groups, and with a shift. */
  scale?: Tensor;
  shift?: Tensor;
}

/** Quantizes a weight; the gradient passes straight through to it. */
export function quantizeWeight(src: Tensor, options: QuantizeWeightOptions): QTensor {
  const qtype = toQType(options.qtype);
  requireFloat('quantizeWeight', src);
  if (options.optimizer) requireFitting('quantizeWeight', qtype, options.optimizer);
  return qtype.bits === 8 ? quantizeBytes(src, qtype, options) : quantizeGroups(src, qtype, options);
}

function quantizeBytes(src: Tensor, qtype: QType, options: QuantizeWeightOptions): QTensor {
  if (options.groupSize !== undefined || options.shift) {
    fail('[quantizeWeight] groups and shifts are for types of less than 8 bits; leave groupSize and shift out');
  }
  const asked = options.axis === undefined ? 0 : options.axis;
  let axis: 0 | -1 | null = asked === null ? null : firstOrLast('quantizeWeight', asked, src.ndim);
  if (axis !== null && src.shape[axis === 0 ? 0 : src.ndim - 1] === 1 && options.scale === undefined) axis = null;
  const optimizer = (options.optimizer as ScaleOptimizer | undefined) ?? new AbsmaxOptimizer();
  const scale = options.scale ?? noGrad(() => optimizer.scale(src, qtype, axis));
  checkScale('quantizeWeight', src, axis, scale);
  return apply(quantizeOp, [src, scale], { qtype, axis }) as QTensor;
}

function quantizeGroups(src: Tensor, qtype: QType, options: QuantizeWeightOptions): QTensor {
  if (options.axis === null || src.ndim === 0) fail(`[quantizeWeight] ${qtype.name} needs an axis, 0 or -1`);
  const axis = firstOrLast('quantizeWeight', options.axis ?? 0, src.ndim);
  const groupSize = options.groupSize ?? null;
  const divided = valuesPerIndex(src.shape, axis);
  if (groupSize !== null && !(Number.isInteger(groupSize) && groupSize > 0 && divided % groupSize === 0)) {
    fail(`[quantizeWeight] expected a groupSize that divides ${divided} values but got ${groupSize}`);
  }
  const { scale, shift } = options;
  if ((scale === undefined) !== (shift === undefined)) fail('[quantizeWeight] expected scale and shift together, or neither');
  const layout = { axis, groupSize, shape: src.shape };
  const optimizer = (options.optimizer as AffineOptimizer | undefined) ?? new MaxOptimizer();
  const parts = noGrad(() =>
    scale && shift ? { scale, shift } : tidy(() => optimizer.scaleAndShift(group(src.detach(), axis, groupSize), qtype, axis)),
  );
  checkScaleAndShift('quantizeWeight', src.dtype, groupScaleShape(groupedShape(src.shape, axis, groupSize), axis), parts);
  return apply(quantizeBitsOp, [src, parts.scale, parts.shift], { qtype, layout }) as QTensor;
}

function checkScaleAndShift(op: string, dtype: DType, expected: readonly number[], parts: ScaleAndShift): void {
  for (const [name, { shape, dtype: came }] of Object.entries(parts as unknown as Record<string, Tensor>)) {
    if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
      fail(`[${op}] expected a ${name} of shape [${expected.join(', ')}] but got [${shape.join(', ')}]`);
    }
    if (came === dtype || (name === 'shift' && (came === 'uint8' || came === 'int8'))) continue;
    throw new QuantoError('DTYPE_MISMATCH', `[${op}] expected a ${name} of ${dtype} but got ${came}`);
  }
}

/** Quantizes an activation with one scale, a scalar tensor in its dtype; the gradient passes straight through. */
export function quantizeActivation(src: Tensor, options: { qtype: QType | string; scale: Tensor }): QTensor {
  const qtype = toQType(options.qtype);
  requireActivationType('quantizeActivation', qtype);
  requireFloat('quantizeActivation', src);
  checkScale('quantizeActivation', src, null, options.scale);
  return apply(quantizeOp, [src, options.scale], { qtype, axis: null }) as QTensor;
}

/** Quantizes an activation with a scale for each token, max|x| / qmax of every vector along the last dim. */
export function quantizeTokens(src: Tensor, options: { qtype: QType | string }): QTensor {
  const qtype = toQType(options.qtype);
  requireActivationType('quantizeTokens', qtype);
  requireFloat('quantizeTokens', src);
  if (src.ndim === 0) fail('[quantizeTokens] expected at least 1 dimension but got []; use quantizeActivation');
  const scale = noGrad(() => tidy(() => raw.div(raw.reduce('absmax', src, [-1], true), qtype.qmax)));
  return apply(quantizeOp, [src, scale], { qtype, axis: 'token' }) as QTensor;
}

/** @internal The weight with its codes in the form that the device's GEMM streams; other weights come back as they are. */
export function packForGemm(weight: QTensor): QTensor {
  const codes = weight.gemmCodes();
  return codes ? weight.mapParts((part, name) => (name === 'codes' ? codes : part.share())) : weight;
}

/** Whether the codes of a weight along axis 0 are ones that kernels stream in a packed form. */
export const isPackable = ({ dtype, ndim }: Tensor): boolean => dtype === 'int8' && (ndim === 2 || ndim === 4);

/** Codes that are packable, in the packed form; shared if they are in it already. */
export function packCodes(codes: Tensor): Tensor {
  if (codes.isPacked) return codes.share();
  using rows = raw.contiguous(codes);
  return Tensor.fromNative(native.packWeight(rows.native));
}
