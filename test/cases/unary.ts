import * as ops from '../../lib/ops';
import type { Case, Failure } from '../harness/case';
import { apart, type Domain, normal, oneOf, uniform, integers } from '../harness/random';
import { erf, roundHalfEven } from '../harness/reference';
import type { DType } from '../../lib/tensor/dtype';
import type { Tensor } from '../../lib/tensor/tensor';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const gelu = (x: number) => (x / 2) * (1 + erf(x / Math.SQRT2));
const geluTanh = (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const clampTo = (low: number, high: number) => (x: number) => (x < low ? low : x > high ? high : x);

interface Row {
  readonly name: string;
  readonly run: (src: Tensor) => Tensor;
  readonly reference: (x: number) => number;
  readonly domain?: Domain;
  /** Where the function runs beside its domain: infinities, NaN, zeros, halves. */
  readonly special?: readonly number[];
  readonly roundings?: number;
  /** What the roundings are relative to, when results near 0 come from subtractions. */
  readonly magnitude?: (x: number) => number;
  readonly output?: DType;
  readonly gradient?: boolean;
}

const everything = [0, -0, 1, -1, 0.5, 1e-30, -1e30, 1e30, Infinity, -Infinity, NaN];
const finite = [0, -0, 1, -1, 0.5, 1e-30, -80, 80, NaN];
const halves = [-2.5, -1.5, -0.5, -0.25, 0.5, 0.75, 1.5, 2.5, 8388609, -16777217];

const rows: readonly Row[] = [
  { name: 'neg', run: ops.neg, reference: (x) => -x, roundings: 0, special: everything },
  { name: 'abs', run: ops.abs, reference: Math.abs, domain: apart(normal, 0), roundings: 0, special: everything },
  {
    name: 'sign',
    run: ops.sign,
    reference: (x) => (x > 0 ? 1 : x < 0 ? -1 : 0),
    domain: apart(normal, 0),
    roundings: 0,
    special: [0, -0, Infinity],
  },
  { name: 'square', run: ops.square, reference: (x) => x * x, roundings: 1, special: everything },
  {
    name: 'relu',
    run: ops.relu,
    reference: (x) => (x > 0 || Number.isNaN(x) ? x : 0),
    domain: apart(normal, 0),
    roundings: 0,
    special: everything,
  },
  {
    name: 'clamp',
    run: (x) => ops.clamp(x, -0.5, 1),
    reference: clampTo(-0.5, 1),
    domain: apart(normal, -0.5, 1),
    roundings: 0,
    special: everything,
  },
  { name: 'clamp below', run: (x) => ops.clamp(x, 0.25), reference: clampTo(0.25, Infinity), domain: apart(normal, 0.25), roundings: 0 },
  {
    name: 'round',
    run: ops.round,
    reference: roundHalfEven,
    domain: apart(uniform(-3, 3), -2.5, -1.5, -0.5, 0.5, 1.5, 2.5),
    roundings: 0,
    special: halves,
  },
  { name: 'floor', run: ops.floor, reference: Math.floor, domain: apart(uniform(-3, 3), -2, -1, 0, 1, 2), roundings: 0, special: halves },
  { name: 'ceil', run: ops.ceil, reference: Math.ceil, domain: apart(uniform(-3, 3), -2, -1, 0, 1, 2), roundings: 0, special: halves },
  { name: 'reciprocal', run: ops.reciprocal, reference: (x) => 1 / x, domain: uniform(0.3, 3), roundings: 1, special: everything },
  { name: 'exp', run: ops.exp, reference: Math.exp, domain: uniform(-5, 5), special: everything },
  { name: 'log', run: ops.log, reference: Math.log, domain: uniform(0.1, 10), special: everything },
  { name: 'sqrt', run: ops.sqrt, reference: Math.sqrt, domain: uniform(0.1, 10), roundings: 1, special: everything },
  { name: 'rsqrt', run: ops.rsqrt, reference: (x) => 1 / Math.sqrt(x), domain: uniform(0.1, 10), special: everything },
  { name: 'sin', run: ops.sin, reference: Math.sin, domain: uniform(-10, 10), special: [0, 1000, Infinity, NaN] },
  { name: 'cos', run: ops.cos, reference: Math.cos, domain: uniform(-10, 10), special: [0, 1000, Infinity, NaN] },
  { name: 'tanh', run: ops.tanh, reference: Math.tanh, domain: uniform(-4, 4), special: everything },
  { name: 'erf', run: ops.erf, reference: erf, domain: uniform(-3, 3), special: everything },
  { name: 'sigmoid', run: ops.sigmoid, reference: sigmoid, domain: uniform(-5, 5), special: everything },
  { name: 'silu', run: ops.silu, reference: (x) => x * sigmoid(x), domain: uniform(-5, 5), special: finite },
  // For negative numbers 1 + erf is a difference, so the error is relative to x.
  { name: 'gelu', run: ops.gelu, reference: gelu, magnitude: (x) => x, domain: uniform(-4, 4), special: finite },
  {
    name: 'gelu tanh',
    run: (x) => ops.gelu(x, { approximate: 'tanh' }),
    reference: geluTanh,
    magnitude: (x) => x,
    domain: uniform(-4, 4),
    special: finite,
  },
  { name: 'isnan', run: ops.isnan, reference: (x) => Number(Number.isNaN(x)), domain: oneOf(...everything), output: 'bool' },
  { name: 'isfinite', run: ops.isfinite, reference: (x) => Number(Number.isFinite(x)), domain: oneOf(...everything), output: 'bool' },
  { name: 'logicalNot', run: ops.logicalNot, reference: (x) => Number(x === 0), domain: oneOf(...everything), output: 'bool' },
];

const real = rows.map(({ name, run, reference, domain, roundings, magnitude, output, gradient }): Case => ({
  family: 'unary',
  name,
  inputs: [{ shape: [3, 4, 5], domain }],
  run,
  reference: (x) => x.map(reference),
  output,
  gradient,
  roundings,
  magnitude: magnitude && ((x) => x.map(magnitude)),
  empty: [[0, 3]],
}));

const specials = rows
  .filter(({ special }) => special)
  .map(({ name, run, reference, roundings, special = [], output }): Case => ({
    family: 'unary',
    name: `${name} special`,
    inputs: [{ shape: [special.length * 4], domain: oneOf(...special) }],
    run,
    reference: (x) => x.map(reference),
    gradient: false,
    output,
    roundings,
    // float16 turns 1e30 into infinity on its way in.
    halfRoundings: false,
  }));

/** Integers: some functions keep the dtype, the others give float32. */
const integerRows = (
  [
    ['neg int8', ops.neg, (x) => -x, 'int8', 'int8'],
    ['abs int32', ops.abs, Math.abs, 'int32', 'int32'],
    ['sign int64', ops.sign, Math.sign, 'int64', 'int64'],
    ['square int16 range', ops.square, (x) => x * x, 'int32', 'int32'],
    ['relu int8', ops.relu, (x) => Math.max(x, 0), 'int8', 'int8'],
    ['clamp uint8', (x) => ops.clamp(x, 10, 100), clampTo(10, 100), 'uint8', 'uint8'],
    ['round int32', ops.round, (x) => x, 'int32', 'int32'],
    ['exp int32', (x) => ops.exp(ops.div(x, 64)), (x) => Math.exp(x / 64), 'int32', 'float32'],
    ['sqrt uint8', ops.sqrt, Math.sqrt, 'uint8', 'float32'],
    ['neg bool', ops.neg, (x) => -x, 'bool', 'int64'],
    ['logicalNot bool', ops.logicalNot, (x) => 1 - x, 'bool', 'bool'],
  ] as readonly [string, (src: Tensor) => Tensor, (x: number) => number, DType, DType][]
).map(([name, run, reference, dtype, output]): Case => ({
  family: 'unary',
  name,
  inputs: [{ shape: [5, 7], dtype, domain: dtype === 'bool' || dtype === 'uint8' ? integers(0, 127) : integers(-127, 127) }],
  run,
  reference: (x) => x.map(reference),
  output,
  gradient: false,
}));

/** Enough elements for several threads and for every vector tail. */
const large = [1, 7, 15, 17, 33, 65, 70001].map((size): Case => ({
  family: 'unary',
  name: `exp size ${size}`,
  inputs: [{ shape: [size], domain: uniform(-5, 5) }],
  run: ops.exp,
  reference: (x) => x.map(Math.exp),
  gradient: false,
  strided: size < 1000,
}));

export const unaryCases: readonly Case[] = [...real, ...specials, ...integerRows, ...large];
export const unaryFailures: readonly Failure[] = [];
