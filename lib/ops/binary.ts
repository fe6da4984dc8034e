import { type BinaryOp, native } from '../native';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireTensor, type Vjp } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import { full } from './creation';
import * as raw from './raw';

/** A tensor, or a number that takes the tensor's dtype and shape. */
export type Operand = Tensor | number;

/** An op whose second operand is the number `scalar`, unless there are two tensors; `reversed` puts the number first. */
export interface BinaryAttributes {
  readonly scalar: number | null;
  readonly reversed: boolean;
}

/** Each is the row of csrc/binary.def of its name, but for `where`. */
export const binaryOps: AnyOp[] = [];

interface Gradient {
  /** Whether the gradient reads the operands, or the output as well. */
  saves: 'nothing' | 'operands' | 'operandsAndOutput';
  /** Gradients of the two operands; a number stands where an operand is one. */
  of: (dy: Tensor, a: Operand, b: Operand, output: Tensor) => readonly [() => Tensor, () => Tensor];
}

/** The operands in order, from the tensors and the number of a call. */
function operandsOf(tensors: readonly Tensor[], { scalar, reversed }: BinaryAttributes): readonly [Operand, Operand] {
  if (scalar === null) return [tensors[0], tensors[1]];
  return reversed ? [scalar, tensors[0]] : [tensors[0], scalar];
}

function compute(name: keyof typeof BinaryOp, a: Operand, b: Operand): Tensor {
  if (typeof a !== 'number') return raw.binary(name, a, b);
  if (typeof b !== 'number') return raw.binaryReversed(name, a, b);
  throw new QuantoError('INVALID_ARGUMENT', `[${name}] expected at least one tensor but got two numbers`);
}

function define(name: keyof typeof BinaryOp, gradient: Gradient | null): (a: Operand, b: Operand) => Tensor {
  const vjp: Vjp<BinaryAttributes> | null =
    gradient &&
    ((dy, saved, { attributes }) => {
      const [a, b] = operandsOf(saved, attributes);
      const both = gradient.of(dy, a, b, saved.at(-1) as Tensor);
      if (attributes.scalar === null) return both;
      return [both[attributes.reversed ? 1 : 0]];
    });
  const op: Op<BinaryAttributes> = {
    name,
    forward: (tensors, attributes) => compute(name, ...operandsOf(tensors, attributes)),
    save: (tensors, output) =>
      gradient?.saves === 'operands' ? tensors : gradient?.saves === 'operandsAndOutput' ? [...tensors, output] : [],
    vjp,
  };
  binaryOps.push(op);
  return (a, b) => {
    if (typeof a === 'number') return apply(op, [requireTensor(name, b)], { scalar: a, reversed: true });
    if (typeof b === 'number') return apply(op, [requireTensor(name, a)], { scalar: b, reversed: false });
    return apply(op, [requireTensor(name, a), requireTensor(name, b)], { scalar: null, reversed: false });
  };
}

/** The gradient goes to the extreme operand; equal operands share it, as in PyTorch. */
const extreme =
  (wins: 'gt' | 'lt'): Gradient['of'] =>
  (dy, a, b) => {
    const share = (mine: Operand, other: Operand) => {
      const won = raw.mask(dy, compute(wins, mine, other));
      return raw.add(won, raw.mul(raw.mask(dy, compute('eq', mine, other)), 0.5));
    };
    return [() => share(a, b), () => share(b, a)];
  };

/** Elementwise with broadcasting; operands of two dtypes meet in the wider (see csrc/ops/common.h, promote). */
export const add = define('add', { saves: 'nothing', of: (dy) => [() => dy, () => dy] });
export const sub = define('sub', { saves: 'nothing', of: (dy) => [() => dy, () => raw.neg(dy)] });
export const mul = define('mul', { saves: 'operands', of: (dy, a, b) => [() => raw.mul(dy, b), () => raw.mul(dy, a)] });
/** True division: integers become float32. */
export const div = define('div', {
  saves: 'operands',
  // b * b would leave the range of narrow dtypes.
  of: (dy, a, b) => [() => raw.div(dy, b), () => raw.neg(raw.mul(dy, compute('div', compute('div', a, b), b)))],
});
/** a to the power b; integers become float32. */
export const pow = define('pow', {
  saves: 'operandsAndOutput',
  of: (dy, a, b, output) => [
    // The derivative of x^0 is 0, also at x = 0, where 0 * 0^-1 would be NaN.
    () => {
      const slope = compute('mul', compute('pow', a, typeof b === 'number' ? b - 1 : raw.sub(b, 1)), b);
      if (typeof b === 'number') return b === 0 ? raw.mul(dy, 0) : raw.mul(dy, slope);
      return raw.mask(raw.mul(dy, slope), raw.binary('ne', b, 0));
    },
    // d/db a^b = a^b ln a, which is 0 at a = 0 for b >= 0.
    () => {
      const logarithm = typeof a === 'number' ? Math.log(a) : raw.unary('log', a);
      const slope = raw.mul(raw.mul(dy, output), logarithm);
      return raw.mask(slope, raw.binary('ne', output, 0));
    },
  ],
});
/** NaN if either operand is. */
export const maximum = define('maximum', { saves: 'operands', of: extreme('gt') });
export const minimum = define('minimum', { saves: 'operands', of: extreme('lt') });
/** Comparisons give bool; with NaN all but ne are false. */
export const eq = define('eq', null);
export const ne = define('ne', null);
export const lt = define('lt', null);
export const le = define('le', null);
export const gt = define('gt', null);
export const ge = define('ge', null);
export const logicalAnd = define('logicalAnd', null);
export const logicalOr = define('logicalOr', null);
export const logicalXor = define('logicalXor', null);

const whereOp: Op = {
  name: 'where',
  forward: ([condition, a, b]) => Tensor.fromNative(native.where(condition.native, a.native, b.native)),
  save: ([condition]) => [condition],
  vjp: (dy, [condition]) => [() => dy, () => raw.mask(dy, condition), () => raw.mask(dy, raw.unary('logicalNot', condition))],
};

binaryOps.push(whereOp);

/** a where the bool condition holds, b elsewhere; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  // A number takes the other operand's dtype.
  const like = a instanceof Tensor ? a : b instanceof Tensor ? b : null;
  const operand = (value: Operand) =>
    value instanceof Tensor ? value : full([], value, { dtype: like?.dtype ?? 'float32', device: condition.device });
  return apply(whereOp, [requireTensor('where', condition), operand(a), operand(b)], undefined);
}

/** src with `value` where the bool mask holds. */
export function maskedFill(src: Tensor, mask: Tensor, value: number): Tensor {
  return where(mask, value, src);
}
