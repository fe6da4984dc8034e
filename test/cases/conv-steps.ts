// Convolutions with what follows them in the same native call, of floats and of int8 codes.
import { native } from '../../lib/native';
import * as ops from '../../lib/ops';
import { convAttributes, conv2dFused } from '../../lib/ops/conv';
import { convolveIntegers, convolveWeightOnly, QBytesTensor, qtypes } from '../../lib/qtensor';
import { Tensor } from '../../lib/tensor/tensor';
import type { Case, Input } from '../harness/case';
import { countOf, NdArray, type Shape } from '../harness/ndarray';
import { type Domain, integers, uniform } from '../harness/random';

import { conv2d, convShape } from './conv';

const int8 = integers(-128, 127);
/** Sums of products of codes become numbers near 1. */
const scales: Domain = uniform(0.002, 0.02);

interface Sizes {
  readonly name: string;
  readonly src: Shape;
  readonly weight: Shape;
  readonly options: ops.Conv2dOptions;
}

const sizes: readonly Sizes[] = [
  { name: '3 to 17 channels', src: [2, 3, 7, 15], weight: [17, 3, 3, 3], options: { padding: 1 } },
  { name: '17 to 33 channels', src: [1, 17, 8, 5], weight: [33, 17, 3, 3], options: { stride: 2, padding: 1 } },
  { name: 'pointwise', src: [1, 50, 3, 5], weight: [7, 50, 1, 1], options: {} },
  { name: 'pointwise of one pixel', src: [1, 127, 1, 1], weight: [3, 127, 1, 1], options: {} },
  { name: 'depthwise', src: [2, 7, 9, 6], weight: [7, 1, 3, 3], options: { padding: 1, groups: 7 } },
  { name: 'two for each channel', src: [1, 5, 6, 6], weight: [10, 1, 5, 5], options: { stride: 2, padding: 2, groups: 5 } },
  { name: 'groups', src: [1, 30, 5, 5], weight: [16, 15, 3, 3], options: { padding: 1, groups: 2 } },
  { name: 'kernel of the whole image', src: [1, 63, 4, 4], weight: [1, 63, 4, 4], options: {} },
  { name: 'several tiles', src: [1, 8, 9, 11], weight: [65, 8, 3, 3], options: { padding: 1 } },
  { name: 'uneven', src: [1, 1, 9, 7], weight: [15, 1, 2, 3], options: { stride: [3, 2], padding: [1, 2], dilation: [2, 1] } },
  { name: 'of nothing', src: [0, 3, 6, 5], weight: [4, 3, 3, 3], options: {} },
];

const absolute = (array: NdArray) => array.map(Math.abs);

/** Inputs of the steps: scale and shift of a batch norm, and an addend. */
const stepInputs = ({ src, weight, options }: Sizes): Input[] => [
  { shape: [weight[0]] },
  { shape: [weight[0]] },
  { shape: convShape(options, src, weight) },
];

/** With a mean of 0 and a variance of 1, the scale and the shift are a norm's weight and bias. */
const stepsOf = ([weight, bias, addend]: readonly Tensor[]) => ({
  norm: { running_mean: ops.zerosLike(bias), running_var: ops.onesLike(bias), weight, bias, eps: 0 },
  addend,
  relu: true,
});

/** The sums with a bias, the norm, the addend and the activation. */
function taken(sums: NdArray, bias: NdArray, [scale, shift, addend]: readonly NdArray[], relu: boolean): NdArray {
  const plane = sums.shape[2] * sums.shape[3];
  const values = sums.data.map((sum, i) => {
    const channel = Math.floor(i / plane) % sums.shape[1];
    const value = (sum + bias.data[channel]) * scale.data[channel] + shift.data[channel] + addend.data[i];
    return relu ? Math.max(0, value) : value;
  });
  return new NdArray(sums.shape, values);
}

/** conv2dFused: src, weight, bias, steps. */
function fusedRow(row: Sizes): Case {
  const { name, src, weight, options } = row;
  return {
    family: 'conv',
    name: `conv2d and its steps ${name}`,
    inputs: [{ shape: src }, { shape: weight }, { shape: [weight[0]] }, ...stepInputs(row)],
    run: (...inputs) => {
      // What is no tensor is refused by clone.
      const [x, w, bias, ...steps] = inputs.map(ops.clone);
      return conv2dFused(x, w, bias, options, stepsOf(steps));
    },
    reference: (x, w, bias, ...steps) => taken(conv2d(options)(x, w), bias, steps, true),
    magnitude: (x, w, bias, ...steps) => taken(conv2d(options)(absolute(x), absolute(w)), absolute(bias), steps.map(absolute), false),
    gradient: false,
    // A sum of products for each output, and the steps.
    roundings: countOf(weight.slice(1)) + 6,
    halfRoundings: false,
  };
}

/** Inputs of int8 codes: src, its scale, weight, its scales, and the rest. */
const codeInputs = ({ src, weight }: Sizes, perChannel: boolean): Input[] => [
  { shape: src, dtype: 'int8', domain: int8 },
  { shape: [], domain: scales },
  { shape: weight, dtype: 'int8', domain: int8 },
  { shape: perChannel ? [weight[0], 1, 1, 1] : [], domain: scales },
  { shape: [weight[0]] },
];

/** A weight whose codes are in the form that kernels stream, or in rows. */
function weightOf(codes: Tensor, scale: Tensor, packed: boolean): QBytesTensor {
  const rows = ops.clone(codes);
  const stored = packed ? Tensor.fromNative(native.packWeight(rows.native)) : rows;
  return new QBytesTensor(qtypes.qint8, scale.ndim === 0 ? null : 0, { codes: stored, scale: ops.clone(scale) });
}

/** Exact sums of codes, scaled. */
function scaledSums(options: ops.Conv2dOptions, [x, xScale, w, wScale]: readonly NdArray[]): NdArray {
  const sums = conv2d(options)(x, w);
  const plane = sums.shape[2] * sums.shape[3];
  const scaleOf = (i: number) => wScale.data[wScale.ndim === 0 ? 0 : Math.floor(i / plane) % sums.shape[1]];
  return new NdArray(
    sums.shape,
    sums.data.map((sum, i) => sum * xScale.data[0] * scaleOf(i)),
  );
}

const noSteps = (sums: NdArray): NdArray[] => [
  NdArray.from([sums.shape[1]], () => 1),
  NdArray.from([sums.shape[1]], () => 0),
  sums.map(() => 0),
];

/** Convolutions of quantized activations by quantized weights. */
function integerRow(row: Sizes, perChannel: boolean): Case {
  const { name, options } = row;
  const referenceOf =
    (map: (array: NdArray) => NdArray) =>
    (...inputs: NdArray[]) => {
      const sums = map(scaledSums(options, inputs));
      return taken(sums, map(inputs[4]), noSteps(sums), false);
    };
  return {
    family: 'conv',
    name: `conv2d qint8 by qint8 ${perChannel ? 'with a scale for each channel' : 'with one scale'} ${name}`,
    inputs: codeInputs(row, perChannel),
    run: (...inputs) => {
      const [x, xScale, w, wScale, bias] = inputs.map(ops.clone);
      const activation = new QBytesTensor(qtypes.qint8, null, { codes: x, scale: xScale });
      return ops.conv2d(activation, weightOf(w, wScale, perChannel), bias, options);
    },
    reference: referenceOf((array) => array),
    magnitude: referenceOf(absolute),
    gradient: false,
    roundings: 5,
  };
}

/** conv2dInt8 with steps. */
function integerStepsRow(row: Sizes): Case {
  const { name, options } = row;
  return {
    family: 'conv',
    name: `conv2d qint8 by qint8 and its steps ${name}`,
    inputs: [...codeInputs(row, true), ...stepInputs(row)],
    run: (...inputs) => {
      const [x, srcScale, w, wScale, bias, ...steps] = inputs.map(ops.clone);
      const scales = { input: srcScale, output: null };
      return convolveIntegers(x, weightOf(w, wScale, false), bias, convAttributes(options), scales, stepsOf(steps));
    },
    reference: (...inputs) => taken(scaledSums(options, inputs), inputs[4], inputs.slice(5), true),
    magnitude: (...inputs) => taken(absolute(scaledSums(options, inputs)), absolute(inputs[4]), inputs.slice(5).map(absolute), false),
    gradient: false,
    roundings: 8,
    halfRoundings: false,
  };
}

/** Floats by int8 weights, with steps where there is a scale for each channel. */
function weightOnlyRow(row: Sizes, perChannel: boolean): Case {
  const { name, src, weight, options } = row;
  const dequantized = (w: NdArray, scale: NdArray) => {
    const patch = countOf(weight.slice(1));
    return new NdArray(
      w.shape,
      w.data.map((code, i) => code * scale.data[scale.ndim === 0 ? 0 : Math.floor(i / patch)]),
    );
  };
  const referenceOf =
    (map: (array: NdArray) => NdArray, relu: boolean) =>
    (...[x, w, scale, bias, ...steps]: NdArray[]) => {
      const sums = conv2d(options)(map(x), map(dequantized(w, scale)));
      return taken(sums, map(bias), perChannel ? steps.map(map) : noSteps(sums), relu && perChannel);
    };
  return {
    family: 'conv',
    name: `conv2d by qint8 ${perChannel ? 'and its steps' : 'with one scale'} ${name}`,
    inputs: [{ shape: src }, ...codeInputs(row, perChannel).slice(2), ...(perChannel ? stepInputs(row) : [])],
    run: (...inputs) => {
      const [x, w, scale, bias, ...steps] = inputs.map(ops.clone);
      const stored = weightOf(w, scale, !perChannel);
      if (!perChannel) return ops.conv2d(x, stored, bias, options);
      const product = convolveWeightOnly(x, stored, bias, convAttributes(options), stepsOf(steps));
      if (!product) throw new Error('convolveWeightOnly takes no float32');
      return product;
    },
    reference: referenceOf((array) => array, true),
    magnitude: referenceOf(absolute, false),
    gradient: false,
    roundings: countOf(weight.slice(1)) + 8,
    // The dequantized weight, the sum, and the bias added to it.
    halfRoundings: perChannel ? false : 3,
  };
}

export const convStepCases: readonly Case[] = sizes.flatMap((row) => [
  fusedRow(row),
  weightOnlyRow(row, true),
  weightOnlyRow(row, false),
  integerRow(row, true),
  integerRow(row, false),
  integerStepsRow(row),
]);
