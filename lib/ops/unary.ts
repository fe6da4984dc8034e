import type { UnaryOp } from '../native';
import { type AnyOp, apply, type Op, type Vjp } from '../tensor/op';
import type { Tensor } from '../tensor/tensor';

import * as raw from './raw';

/** The attributes of a row of csrc/unary.def. */
interface Attributes {
  readonly a: number;
  readonly b: number;
}

/** Each is the row of csrc/unary.def of its name. */
export const unaryOps: AnyOp[] = [];

function makeOp(name: keyof typeof UnaryOp, saves: 'input' | 'output' | 'nothing', vjp: Vjp<Attributes> | null): Op<Attributes> {
  const op: Op<Attributes> = {
    name,
    forward: ([src], { a, b }) => raw.unary(name, src, a, b),
    save: saves === 'nothing' ? undefined : ([src], output) => [saves === 'input' ? src : output],
    vjp,
  };
  unaryOps.push(op);
  return op;
}

function define(...row: Parameters<typeof makeOp>): (src: Tensor) => Tensor {
  const op = makeOp(...row);
  return (src) => apply(op, [src], { a: 0, b: 0 });
}

/** A gradient of the form dy * derivative(saved). */
const times =
  (derivative: (saved: Tensor) => Tensor): Vjp<Attributes> =>
  (dy, [saved]) => [() => raw.mul(dy, derivative(saved))];

/** The derivative is zero wherever it exists. */
const flat: Vjp<Attributes> = (dy) => [() => raw.mul(dy, 0)];

/** Elementwise functions. Integers become float32 in all but neg, abs, sign, square, relu, clamp, round, floor and ceil. */
export const neg = define('neg', 'nothing', (dy) => [() => raw.neg(dy)]);
export const abs = define(
  'abs',
  'input',
  times((x) => raw.unary('sign', x)),
);
export const sign = define('sign', 'nothing', flat);
export const square = define(
  'square',
  'input',
  times((x) => raw.mul(x, 2)),
);
export const reciprocal = define(
  'reciprocal',
  'output',
  times((y) => raw.neg(raw.unary('square', y))),
);
export const exp = define(
  'exp',
  'output',
  times((y) => y),
);
/** Natural logarithm. */
export const log = define('log', 'input', (dy, [x]) => [() => raw.div(dy, x)]);
export const sqrt = define('sqrt', 'output', (dy, [y]) => [() => raw.div(raw.mul(dy, 0.5), y)]);
export const rsqrt = define(
  'rsqrt',
  'output',
  times((y) => raw.mul(raw.mul(raw.unary('square', y), y), -0.5)),
);
export const sin = define(
  'sin',
  'input',
  times((x) => raw.unary('cos', x)),
);
export const cos = define(
  'cos',
  'input',
  times((x) => raw.neg(raw.unary('sin', x))),
);
export const tanh = define(
  'tanh',
  'output',
  times((y) => raw.binaryReversed('sub', 1, raw.unary('square', y))),
);
export const sigmoid = define(
  'sigmoid',
  'output',
  times((y) => raw.mul(y, raw.binaryReversed('sub', 1, y))),
);
export const relu = define('relu', 'output', (dy, [y]) => [() => raw.mask(dy, raw.binary('gt', y, 0))]);
const geluErf = define(
  'gelu',
  'input',
  times((x) => raw.unary('geluGrad', x)),
);
const geluTanh = define(
  'geluTanh',
  'input',
  times((x) => raw.unary('geluTanhGrad', x)),
);
/** x * sigmoid(x), also called swish. */
export const silu = define(
  'silu',
  'input',
  times((x) => raw.unary('siluGrad', x)),
);
export const erf = define(
  'erf',
  'input',
  times((x) => raw.mul(raw.unary('exp', raw.neg(raw.unary('square', x))), 2 / Math.sqrt(Math.PI))),
);
/** To the nearest integer, halves to even. */
export const round = define('round', 'nothing', flat);
export const floor = define('floor', 'nothing', flat);
export const ceil = define('ceil', 'nothing', flat);
export const isnan = define('isnan', 'nothing', null);
export const isfinite = define('isfinite', 'nothing', null);
export const logicalNot = define('logicalNot', 'nothing', null);

/** x * P(X <= x) for a standard normal X; 'tanh' is the approximation of Hendrycks and Gimpel (2016). */
export function gelu(src: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor {
  return options.approximate === 'tanh' ? geluTanh(src) : geluErf(src);
}

const clampOp = makeOp('clamp', 'input', (dy, [x], { attributes: { a, b } }) => [
  () => raw.mask(dy, raw.binary('logicalAnd', raw.binary('ge', x, a), raw.binary('le', x, b))),
]);

/** Values below `min` become min, above `max` max; NaN stays. The gradient passes within the bounds, both included. */
export function clamp(src: Tensor, min = -Infinity, max = Infinity): Tensor {
  return apply(clampOp, [src], { a: min, b: max });
}
