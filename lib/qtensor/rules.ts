// How ops act on quantized tensors: one row an op. An op without a row, or whose rule declines, runs on the dequantized values and is
// counted. The rows follow Quanto's table for activations and weights; where it is wrong, the row is right and says so.
import { native } from '../native';
import { type AttentionAttributes, nativeAttention } from '../ops/attention';
import type { BinaryAttributes } from '../ops/binary';
import { type ConvAttributes, type ConvSteps, nativeSteps } from '../ops/conv';
import * as raw from '../ops/raw';
import { isDType } from '../tensor/dtype';
import { type AnyOp, type Op, type Result, setQuantizedDispatch } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import { countFallback } from './fallbacks';
import { QBitsTensor } from './qbits';
import { QBytesTensor, QTensor, type QTensorParts } from './qtensor';
import { isScaleDType, sameScale } from './scale';

/** One call of an op with a quantized operand. */
interface Call {
  readonly op: AnyOp;
  readonly inputs: readonly Tensor[];
  readonly attributes: unknown;
  /** The op on other operands, as it runs on plain tensors. */
  readonly run: (inputs: readonly Tensor[]) => Tensor;
}

/** The result, or null: the rule does not cover these operands. */
type Rule = (call: Call) => Tensor | null;

/** An activation with a scale for all or for each token. */
function tokens(tensor: Tensor): QBytesTensor | null {
  return tensor instanceof QBytesTensor && (tensor.axis === null || tensor.axis === 'token') ? tensor : null;
}

/** A per-tensor quantized tensor: what activations are. */
function activation(tensor: Tensor | undefined): QBytesTensor | null {
  return tensor instanceof QBytesTensor && tensor.axis === null ? tensor : null;
}

function isInt8(tensor: QTensor): boolean {
  return tensor.qtype.dtype === 'int8';
}

/** The same codes under another scale, or other codes under the same. */
function derive(from: QBytesTensor, parts: Partial<QTensorParts>): QBytesTensor {
  return from.mapParts((part, name) => parts[name] ?? part.share());
}

/** Calibration learns that integers were wanted. */
function consume(...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) if (tensor instanceof QTensor && tensor.producer) tensor.producer.outputRequired = true;
}

/** Moves codes around; the scale stays. */
const dataOnly: Rule = ({ inputs, run }) => {
  const src = activation(inputs[0]);
  return src && derive(src, { codes: run([src.codes]) });
};

/** The same for functions of the value that commute with a positive scale on integers. */
const integerDataOnly: Rule = (call) => {
  const src = activation(call.inputs[0]);
  return src && isInt8(src) ? dataOnly(call) : null;
};

/** A transposed weight keeps its scales along the other axis. */
const transposed: Rule = (call) => {
  const [src] = call.inputs;
  if (!(src instanceof QBytesTensor) || src.axis === null || src.axis === 'token' || src.ndim !== 2) return dataOnly(call);
  const scale = call.run([src.scale]);
  // transpose(0, 0) changes nothing.
  const along = scale.shape[0] === src.scale.shape[0] ? src.axis : src.axis === 0 ? -1 : 0;
  return src.mapParts((_, name) => (name === 'codes' ? call.run([src.codes]) : scale), along);
};

/** Copies of codes and scales alike, of activations and weights. */
const copied: Rule = ({ inputs: [src] }) => (src instanceof QTensor ? src.copy() : null);

/** To another dtype that can hold scales or a device: the codes keep their type. */
const converted: Rule = ({ inputs: [src], attributes }) => {
  const target = typeof attributes === 'string' ? attributes : (attributes as { to: string }).to;
  if (!(src instanceof QTensor) || (isDType(target) && !isScaleDType(target))) return null;
  return src.converted(target);
};

/** Multiplication and division by a positive number change the scale. */
const scaleOnly: Rule = ({ inputs, attributes, run }) => {
  const { scalar, reversed } = attributes as BinaryAttributes;
  const src = inputs.map(activation).find((input) => input !== null);
  if (!src) return null;
  // A negative factor would make the scale negative, and relu and comparisons on codes need a positive one.
  const factor = scalar ?? inputs.find((input) => input !== src && input.ndim === 0 && !input.isQuantized)?.hostValue ?? 0;
  if (!(factor > 0) || !Number.isFinite(factor) || reversed) return null;
  const scale = run(inputs.map((input) => (input === src ? src.scale : input)));
  return derive(src, { scale: raw.cast(scale, src.scale.dtype) });
};

/** Multiplication is commutative, so its number may stand first. */
const scaleOnlyEitherSide: Rule = (call) =>
  scaleOnly({ ...call, attributes: { ...(call.attributes as BinaryAttributes), reversed: false } });

/** Division keeps its order: number / tensor and tensor / quantized tensor run in float. */
const scaleOnlyDividend: Rule = (call) => (activation(call.inputs[0]) ? scaleOnly(call) : null);

/** -(-128) does not fit in int8: it saturates to 127 here, where the original wraps around to -128. */
const negate: Rule = (call) => {
  const src = activation(call.inputs[0]);
  if (!src || !isInt8(src)) return null;
  return derive(src, { codes: call.run([raw.binary('maximum', src.codes, -127)]) });
};

/** Two activations of one qtype and one scale, joined by their codes. As in the original, three or more are joined in float. */
const joinSameScale: Rule = ({ op, inputs, run }) => {
  const [a, b] = inputs.map((input) => activation(input));
  if (inputs.length !== 2 || !a || !b || a.qtype !== b.qtype || !sameScale(a.scale, b.scale)) return null;
  if (op.name === 'cat' && !isInt8(a)) return null;
  const joined = derive(a, { codes: run([a.codes, b.codes]) });
  // One mark cannot stand for two producers: both count as wanted.
  if (b.producer !== a.producer) {
    consume(a, b);
    joined.producer = null;
  }
  return joined;
};

/** Comparisons of codes, where one positive scale orders them as it orders the values. */
const compareSameScale: Rule = ({ inputs, run }) => {
  const [a, b] = inputs.map((input) => activation(input));
  return a && b && isInt8(a) && isInt8(b) && sameScale(a.scale, b.scale) ? run([a.codes, b.codes]) : null;
};

/** A float result quantized again, with a scale that is known beforehand. */
function requantized(values: Tensor, like: QBytesTensor, scale: Tensor): QBytesTensor {
  const codes = Tensor.fromNative(native.quantize(values.native, scale.native, native.dtypeOf(like.codes.native)));
  return new QBytesTensor(like.qtype, null, { codes, scale });
}

/** Probabilities lie in [0, 1], so 1 is the largest code. */
const requantizeUnit: Rule = ({ inputs, run }) => {
  const src = activation(inputs[0]);
  if (!src) return null;
  return requantized(run([src.values()]), src, raw.full([], 1 / src.qtype.qmax, src.scale));
};

/** `where` keeps the scale of its second operand; the original raises when the third is quantized too. */
const requantizeWhere: Rule = ({ inputs: [condition, a, b], run }) => {
  const src = activation(a);
  if (!src || condition.isQuantized) return null;
  const other = b instanceof QTensor ? b.values() : b;
  return requantized(run([condition, src.values(), other]), src, src.scale.share());
};

/** int8 x int8 -> int32, scaled in float32, where sums that float16 cannot hold fit; exact up to the two scales. */
const integerMatmul: Rule = ({ inputs }) => {
  const [a, b] = inputs.map((input) => activation(input));
  if (!a || !b || !isInt8(a) || !isInt8(b) || a.dtype !== b.dtype) return null;
  consume(a, b);
  const scale = raw.mul(raw.cast(a.scale, 'float32'), raw.cast(b.scale, 'float32'));
  return Tensor.fromNative(native.intMatmulScaled(a.codes.native, b.codes.native, scale.native, native.dtypeOf(a.scale.native)));
};

/** Codes in a row whose products have exact sums in float32, in which attention computes them where the values are floats. */
const EXACT_WIDTH = 1024;

/**
 * The scores are those of integerMatmul, bit for bit where they are float32. Weights are not quantized: by int8 values their products are those
 * of numbers in fixed point, each within 2^-24 of the largest weight of its block of 128 keys.
 */
const integerAttention: Rule = ({ op, inputs: [query, key, value, ...mask], attributes }) => {
  const [a, b] = [query, key].map(activation);
  if (!a || !b || !isInt8(a) || !isInt8(b) || a.dtype !== b.dtype || a.dtype !== value.dtype) return null;
  if (a.shape[a.ndim - 1] > EXACT_WIDTH) return null;
  const weighed = activation(value);
  const codes = weighed && isInt8(weighed) ? weighed : null;
  consume(a, b);
  if (codes) consume(codes);
  if (value.isQuantized && !codes) countFallback(op.name);
  const inputs = [a.codes, b.codes, codes?.codes ?? value.dequantize(), ...mask];
  return nativeAttention(inputs, attributes as AttentionAttributes, { query: a.scale, key: b.scale, value: codes?.scale ?? null });
};

/** A weight of int8 codes with one scale, or one for each output. */
export function isInt8Weight(weight: Tensor): weight is QBytesTensor {
  return weight instanceof QBytesTensor && isInt8(weight) && (weight.axis === null || weight.axis === 0);
}

/**
 * @internal A linear layer of integers in one native call, with the bits of the separate ops: the input is quantized with `inputScale` ('token' is
 * one for each token; a quantized one comes as it is), and the result with `outputScale` where that is given, after an activation by its number; both
 * of int8 weights alone. Null: these operands need the separate ops.
 */
export function fusedLinear(
  input: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  {
    inputScale,
    outputScale,
    activation: then = 0,
  }: { inputScale: Tensor | 'token' | null; outputScale: Tensor | null; activation?: number },
): Tensor | null {
  if (bias?.isQuantized) return null;
  const quantized = activation(input);
  if (input.isQuantized ? !quantized || !isInt8(quantized) : !inputScale || !isScaleDType(input.dtype)) return null;
  const given = inputScale === 'token' ? null : inputScale;
  const [src, srcScale] = quantized ? [quantized.codes, quantized.scale] : [input, given];
  if (weight instanceof QBitsTensor && !outputScale && then === 0) {
    return weight.integerProduct({ values: src, scale: srcScale }, bias ?? undefined);
  }
  if (!isInt8Weight(weight)) return null;
  const { codes, scale } = weight.stored;
  const result = Tensor.fromNative(
    native.linearInt8(
      src.native,
      srcScale?.native ?? null,
      codes.native,
      scale.native,
      bias?.native ?? null,
      outputScale?.native ?? null,
      then,
    ),
  );
  return outputScale ? new QBytesTensor(weight.qtype, null, { codes: result, scale: outputScale.share() }) : result;
}

/** Linear layers: integers on both sides, or a weight of few bits under float activations. */
const quantizedLinear: Rule = ({ inputs }) => {
  const [src, weight, bias] = inputs as readonly [Tensor, Tensor, Tensor | undefined];
  if (!(weight instanceof QTensor) || bias?.isQuantized) return null;
  if (!(src instanceof QTensor)) return weight.product(src, bias);
  const quantized = tokens(src);
  const product =
    quantized && isInt8(quantized) ? weight.integerProduct({ values: quantized.stored.codes, scale: quantized.scale }, bias) : null;
  if (quantized && product) consume(quantized);
  return product;
};

/** @internal The scales of a convolution of integers. */
export interface ConvScales {
  /** Of the input's codes; float inputs are quantized with it. */
  readonly input: Tensor;
  /** Where the result is to be int8 codes. */
  readonly output: Tensor | null;
}

/** @internal Exact sums of codes: `src` is int8, or floats to be quantized. The result is in the dtype of the weight's scale, or int8. */
export function convolveIntegers(
  src: Tensor,
  weight: QBytesTensor,
  bias: Tensor | null,
  { stride, padding, dilation, groups }: ConvAttributes,
  scales: ConvScales,
  convSteps: ConvSteps = {},
): Tensor {
  const { codes, scale } = weight.stored;
  const steps = nativeSteps(convSteps);
  return Tensor.fromNative(
    native.conv2dInt8(
      src.native,
      scales.input.native,
      codes.native,
      scale.native,
      bias?.native ?? null,
      steps.mean,
      steps.variance,
      steps.normWeight,
      steps.normBias,
      steps.eps,
      steps.addend,
      scales.output?.native ?? null,
      stride,
      padding,
      dilation,
      groups,
      steps.activation,
    ),
  );
}

/** @internal Floats by int8 weights that never become a float tensor; null: these operands need the separate ops. */
export function convolveWeightOnly(
  src: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { stride, padding, dilation, groups }: ConvAttributes,
  convSteps: ConvSteps = {},
): Tensor | null {
  if (src.isQuantized || src.dtype !== 'float32' || !isInt8Weight(weight) || weight.dtype !== 'float32') return null;
  const { codes, scale } = weight.stored;
  const steps = nativeSteps(convSteps);
  return Tensor.fromNative(
    native.conv2dWeightOnly(
      src.native,
      codes.native,
      scale.native,
      bias?.native ?? null,
      steps.mean,
      steps.variance,
      steps.normWeight,
      steps.normBias,
      steps.eps,
      steps.addend,
      stride,
      padding,
      dilation,
      groups,
      steps.activation,
    ),
  );
}

/**
 * Convolutions with int8 weights, in integers where the input is quantized too. The original's run on dequantized values, to which these are
 * equal up to float rounding.
 */
const quantizedConv: Rule = ({ inputs, attributes }) => {
  const [src, weight, bias = null] = inputs as readonly [Tensor, Tensor, Tensor?];
  const conv = attributes as ConvAttributes;
  if (bias?.isQuantized) return null;
  if (!src.isQuantized) return convolveWeightOnly(src, weight, bias, conv);
  const quantized = activation(src);
  if (!quantized || !isInt8(quantized) || !isInt8Weight(weight) || quantized.dtype !== weight.dtype) return null;
  consume(quantized);
  return convolveIntegers(quantized.codes, weight, bias, conv, { input: quantized.scale, output: null });
};

const rules: Readonly<Record<string, Rule>> = {
  dequantize: ({ inputs: [src] }) => (src as QTensor).values(),
  // views and copies
  view: dataOnly,
  reshape: dataOnly,
  flatten: dataOnly,
  expand: dataOnly,
  permute: dataOnly,
  transpose: transposed,
  t: transposed,
  select: dataOnly,
  slice: dataOnly,
  unsqueeze: dataOnly,
  contiguous: dataOnly,
  clone: copied,
  toDType: converted,
  toDevice: converted,
  cat: joinSameScale,
  stack: joinSameScale,
  // elementwise
  relu: integerDataOnly,
  neg: negate,
  mul: scaleOnlyEitherSide,
  div: scaleOnlyDividend,
  lt: compareSameScale,
  le: compareSameScale,
  gt: compareSameScale,
  ge: compareSameScale,
  where: requantizeWhere,
  softmax: requantizeUnit,
  // products
  bmm: integerMatmul,
  matmul: integerMatmul,
  attention: integerAttention,
  linear: quantizedLinear,
  conv2d: quantizedConv,
};

/** Names of the ops that have a rule. */
export const quantizedOps: readonly string[] = Object.keys(rules);

function dispatch<A>(op: Op<A>, inputs: readonly Tensor[], attributes: A): Tensor | Result {
  const run = (operands: readonly Tensor[]) => {
    const result = op.forward(operands, attributes);
    return 'output' in result ? result.output : result;
  };
  const ruled = (rules as Partial<Record<string, Rule>>)[op.name]?.({ op, inputs, attributes, run });
  if (ruled) return ruled;
  countFallback(op.name);
  return op.forward(
    inputs.map((input) => (input instanceof QTensor ? input.values() : input)),
    attributes,
  );
}

setQuantizedDispatch(dispatch);
