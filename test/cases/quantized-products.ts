// Linear layers with quantized weights: src weight^T + bias, where a weight is scale * code - shift in each group of codes; and products of
// quantized activations.
import { native } from '../../lib/native';
import * as ops from '../../lib/ops';
import { fusedLinear, QBitsTensor, QBytesTensor, type QType, qtypes } from '../../lib/qtensor';
import { Tensor } from '../../lib/tensor/tensor';
import type { Case, Input } from '../harness/case';
import { matmulReference, NdArray, type Shape } from '../harness/ndarray';
import { type Domain, integers, uniform } from '../harness/random';

import { sizes } from './matmul';

const int8 = integers(-128, 127);
/** Positive, as scales are. */
const positive = uniform(0.25, 1.75);
/** All magnitudes that the float8 types share, subnormal ones too. */
const float8: Domain = (random) => (random() < 0.5 ? -1 : 1) * 2 ** (16 * random() - 9);

/** A weight [N, K] of a type, and its groups: rows of so many codes that share a scale and, for less than 8 bits, a shift. */
interface Weight {
  readonly qtype: QType;
  readonly n: number;
  readonly k: number;
  readonly groupSize: number;
}

function weightInputs({ qtype, n, k, groupSize }: Weight): Input[] {
  const { bits, dtype, isFloatingPoint } = qtype;
  const groups = (n * k) / groupSize;
  const scale = { shape: [groups, 1], domain: positive };
  if (bits === 8) return [{ shape: [n, k], dtype, domain: isFloatingPoint ? float8 : int8 }, scale];
  return [{ shape: [groups, groupSize], dtype: 'uint8', domain: integers(0, 2 ** bits - 1) }, scale, { shape: [groups, 1] }];
}

/** The weight of its inputs. Ops refuse what is no tensor. */
function weightTensor({ qtype, n, k, groupSize }: Weight, [codes, scale, shift]: readonly Tensor[]): Tensor {
  const given = { codes: ops.clone(codes), scale: ops.clone(scale) };
  // Narrowed with the other inputs, whose values a narrow dtype holds.
  if (qtype.bits === 8) return new QBytesTensor(qtype, 0, { ...given, codes: ops.to(given.codes, qtype.dtype) });
  const layout = { axis: 0 as const, groupSize: groupSize === k ? null : groupSize, shape: [n, k] };
  const packed = Tensor.fromNative(native.packBits(given.codes.native, qtype.bits));
  return new QBitsTensor(qtype, layout, { codes: packed, scale: given.scale, shift: ops.clone(shift) });
}

/** Its values, or how large the terms are that they are computed of: codes of few bits lose the middle of their range first. */
function weightValues({ qtype, n, k, groupSize }: Weight, [codes, scale, shift]: readonly NdArray[], magnitude = false): NdArray {
  const center = qtype.bits < 8 ? 2 ** (qtype.bits - 1) : 0;
  const values = codes.data.map((code, i) => {
    const group = Math.floor(i / groupSize);
    const [factor, term] = [scale.data[group], shift?.data[group] ?? 0];
    return magnitude ? factor * (Math.abs(code) + 2 * center) + Math.abs(term) : factor * code - term;
  });
  return new NdArray([n, k], values);
}

function linearOf(src: NdArray, weight: NdArray, bias: NdArray, srcScale: (row: number) => number = () => 1): NdArray {
  const out = matmulReference(src, weight.permute(1, 0));
  const columns = weight.shape[0];
  out.data.forEach((sum, i) => (out.data[i] = sum * srcScale(Math.floor(i / columns)) + bias.data[i % columns]));
  return out;
}

const absolute = (array: NdArray) => array.map(Math.abs);

/** Inputs in float: src, the parts of the weight, bias. */
function weightOnlyRow(m: number, weight: Weight): Case {
  const { qtype, n, k, groupSize } = weight;
  const parts = weightInputs(weight);
  const split = <T>(inputs: readonly T[]) => ({ src: inputs[0], parts: inputs.slice(1, -1), bias: inputs[inputs.length - 1] });
  return {
    family: 'matmul',
    name: `linear ${qtype.name} ${m}x${n}x${k} of ${groupSize}`,
    inputs: [{ shape: [m, k] }, ...parts, { shape: [n], optional: true }],
    run: (...inputs) => {
      const { src, parts: given, bias } = split(inputs);
      return ops.linear(src, weightTensor(weight, given), bias);
    },
    reference: (...inputs) => {
      const { src, parts: given, bias } = split(inputs);
      return linearOf(src, weightValues(weight, given), bias);
    },
    magnitude: (...inputs) => {
      const { src, parts: given, bias } = split(inputs);
      return linearOf(absolute(src), weightValues(weight, given, true), absolute(bias));
    },
    gradient: false,
    roundings: k + 4,
    // A weight of many rows is rounded as dequantizing rounds it: the product, then the difference.
    halfRoundings: 3,
  };
}

/** Inputs of int8 codes with one scale, or one for each row: src, its scale, the parts of the weight, bias. */
function integerRow(m: number, weight: Weight, axis: null | 'token'): Case {
  const { qtype, n, k, groupSize } = weight;
  const split = <T>(inputs: readonly T[]) => ({
    src: inputs[0],
    srcScale: inputs[1],
    parts: inputs.slice(2, -1),
    bias: inputs[inputs.length - 1],
  });
  const scaleOf = (srcScale: NdArray) => (row: number) => srcScale.data[axis === null ? 0 : row];
  return {
    family: 'matmul',
    name: `linear ${qtype.name} by int8 ${axis ?? 'tensor'} ${m}x${n}x${k} of ${groupSize}`,
    inputs: [
      { shape: [m, k], dtype: 'int8', domain: int8 },
      { shape: axis === null ? [] : [m, 1], domain: positive },
      ...weightInputs(weight),
      { shape: [n], optional: true },
    ],
    run: (...inputs) => {
      const { src, srcScale, parts, bias } = split(inputs);
      const codes = new QBytesTensor(qtypes.qint8, axis, { codes: ops.clone(src), scale: ops.clone(srcScale) });
      return ops.linear(codes, weightTensor(weight, parts), bias);
    },
    reference: (...inputs) => {
      const { src, srcScale, parts, bias } = split(inputs);
      return linearOf(src, weightValues(weight, parts), bias, scaleOf(srcScale));
    },
    magnitude: (...inputs) => {
      const { src, srcScale, parts, bias } = split(inputs);
      return linearOf(absolute(src), weightValues(weight, parts, true), absolute(bias), scaleOf(srcScale));
    },
    gradient: false,
    // Sums of codes are exact: what is rounded is each group's part, the scales and the bias.
    roundings: (4 * k) / groupSize + 4,
  };
}

/** Floats that become int8 codes in the same native call: src, the parts of the weight, bias. Their codes are exact in every dtype. */
function quantizingRow(m: number, weight: Weight, inputScale: 0.5 | 'token'): Case {
  const { qtype, n, k, groupSize } = weight;
  const split = <T>(inputs: readonly T[]) => ({ src: inputs[0], parts: inputs.slice(1, -1), bias: inputs[inputs.length - 1] });
  // Codes of one scale saturate; in a row with a scale of its own they are the largest ones and 0.
  const rounded = (src: NdArray) =>
    src.map((value) => (inputScale === 'token' ? value : Math.min(127, Math.max(-128, value / inputScale)) / 2));
  return {
    family: 'matmul',
    name: `linear ${qtype.name} by floats to int8 ${inputScale} ${m}x${n}x${k} of ${groupSize}`,
    inputs: [
      { shape: [m, k], domain: inputScale === 'token' ? (random) => 127 * integers(-1, 1)(random) : integers(-80, 80) },
      ...weightInputs(weight),
      { shape: [n], optional: true },
    ],
    run: (...inputs) => {
      const { src, parts, bias } = split(inputs);
      const values = ops.clone(src);
      const scale = inputScale === 'token' ? inputScale : ops.full([], inputScale, { dtype: values.dtype, device: values.device });
      const summand = (bias as Tensor | undefined) ? ops.clone(bias) : null;
      return fusedLinear(values, weightTensor(weight, parts), summand, { inputScale: scale, outputScale: null })!;
    },
    reference: (...inputs) => {
      const { src, parts, bias } = split(inputs);
      return linearOf(rounded(src), weightValues(weight, parts), bias);
    },
    magnitude: (...inputs) => {
      const { src, parts, bias } = split(inputs);
      return linearOf(absolute(src), weightValues(weight, parts, true), absolute(bias));
    },
    gradient: false,
    roundings: (4 * k) / groupSize + 4,
  };
}

/** The largest proper divisor: several groups where a size has them. */
function groupsOf(k: number): number {
  for (let groups = 2; groups * groups <= k; groups++) if (k % groups === 0) return k / groups;
  return k;
}

/** Batched products of activations, each with one scale: a, its scale, b, its scale. */
function productRow(a: Shape, b: Shape): Case {
  const codes = (shape: Shape) => [{ shape, dtype: 'int8', domain: int8 } as const, { shape: [], domain: positive }];
  const activation = (values: Tensor, scale: Tensor) =>
    new QBytesTensor(qtypes.qint8, null, { codes: ops.clone(values), scale: ops.clone(scale) });
  return {
    family: 'matmul',
    name: `product of int8 ${a.join('x')} by ${b.join('x')}`,
    inputs: [...codes(a), ...codes(b)],
    run: (x, xScale, y, yScale) => ops.matmul(activation(x, xScale), activation(y, yScale)),
    reference: (x, xScale, y, yScale) => matmulReference(x, y).map((sum) => sum * xScale.data[0] * yScale.data[0]),
    gradient: false,
  };
}

const products = [
  productRow([3, 5, 300], [3, 300, 33]),
  productRow([4, 1, 63], [4, 63, 65]),
  productRow([5, 2, 7], [5, 7, 15]),
  productRow([2, 65, 127], [2, 127, 50]),
  productRow([3, 7, 33], [1, 33, 17]),
  productRow([9, 3, 4], [9, 4, 5]),
];

const { qint8, qint4, qint2, qfloat8_e4m3fn, qfloat8_e4m3fnuz, qfloat8_e5m2 } = qtypes;

const linears = sizes.flatMap(([m, n, k]) => {
  const whole = (qtype: QType): Weight => ({ qtype, n, k, groupSize: k });
  const few = [qint4, qint2].flatMap((qtype) => {
    const weights = groupsOf(k) === k ? [whole(qtype)] : [whole(qtype), { ...whole(qtype), groupSize: groupsOf(k) }];
    return weights.flatMap((weight) => [
      weightOnlyRow(m, weight),
      integerRow(m, weight, weight.groupSize === k ? 'token' : null),
      quantizingRow(m, weight, weight.groupSize === k ? 0.5 : 'token'),
    ]);
  });
  const bytes = [qint8, qfloat8_e4m3fn, qfloat8_e4m3fnuz, qfloat8_e5m2].map((qtype) => weightOnlyRow(m, whole(qtype)));
  return [...few, ...bytes, integerRow(m, whole(qint8), null)];
});

export const quantizedProductCases: readonly Case[] = [...linears, ...products];
