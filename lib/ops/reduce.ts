import { native, ReduceOp } from '../native';
import { dtypeCode } from '../tensor/dtype';
import { type AnyOp, apply, type Op, requireTensor, type Vjp } from '../tensor/op';
import { showOp } from '../tensor/op-observer';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

export type Axes = number | readonly number[];

/** Which dimensions a reduction folds: one, several, or all (the default). */
export interface ReduceOptions {
  axis?: Axes;
  /** Keeps folded dimensions with size 1. */
  keepdim?: boolean;
}

interface Attributes {
  readonly axes: readonly number[];
  readonly keepdim: boolean;
  readonly correction: number;
}

/** A reduction's result or gradient with the folded dims back at size 1, so that it broadcasts over the source. */
function unfold(folded: Tensor, shape: readonly number[], { axes }: Attributes): Tensor {
  const wrapped = new Set(axes.length === 0 ? shape.keys() : axes.map((axis) => raw.wrapAxis(axis, shape.length)));
  return raw.reshape(
    folded,
    shape.map((size, i) => (wrapped.has(i) ? 1 : size)),
  );
}

/** Elements folded into each result. */
function foldedCount(shape: readonly number[], { axes }: Attributes): number {
  // A tensor without dims has an axis to fold, too, as in PyTorch.
  const sizes = shape.length === 0 ? [1] : shape;
  const folded = axes.length === 0 ? sizes : [...new Set(axes.map((axis) => raw.wrapAxis(axis, sizes.length)))].map((axis) => sizes[axis]);
  return folded.reduce((product, size) => product * size, 1);
}

/** The gradient of an extreme is shared evenly by the elements that reach it, as PyTorch's amax shares it. */
const extreme: Vjp<Attributes> = (dy, [src, output], { attributes, inputs: [{ shape }] }) => [
  () => {
    // Narrow dtypes count only so far.
    const hits = raw.cast(raw.binary('eq', src, unfold(output, shape, attributes)), 'float32');
    const shares = raw.div(hits, raw.reduce('sum', hits, attributes.axes, true));
    return raw.mul(raw.cast(shares, dy.dtype), unfold(dy, shape, attributes));
  },
];

function optionsOf<O extends ReduceOptions>(options: Axes | O): O | ReduceOptions {
  return typeof options === 'number' || Array.isArray(options) ? { axis: options as Axes } : (options as O);
}

export interface VarOptions extends ReduceOptions {
  /** The variance divides by count - correction. Default: 1. */
  correction?: number;
}

export const reduceOps: AnyOp[] = [];

type SaveRule = NonNullable<AnyOp['save']>;
const inputAndOutput: SaveRule = ([src], output) => [src, output];

function define(name: keyof typeof ReduceOp, save: SaveRule | undefined, vjp: Vjp<Attributes> | null) {
  const op: Op<Attributes> = {
    name,
    forward: ([src], { axes, keepdim, correction }) => raw.reduce(name, src, axes, keepdim, correction),
    save,
    vjp,
  };
  reduceOps.push(op);
  return (src: Tensor, options: Axes | VarOptions = {}): Tensor => {
    const { axis = [], keepdim = false, correction = 0 }: VarOptions = optionsOf(options);
    return apply(op, [src], { axes: typeof axis === 'number' ? [axis] : axis, keepdim, correction });
  };
}

/** sum(x), sum(x, 1), sum(x, [0, 1]) or sum(x, { axis: 1, keepdim: true }). */
type Reduction = (src: Tensor, options?: Axes | ReduceOptions) => Tensor;

/** Integers and bool sum in int64. */
export const sum: Reduction = define('sum', undefined, (dy, _, { attributes, inputs: [{ shape }] }) => [
  () => raw.expand(unfold(dy, shape, attributes), shape),
]);
export const mean: Reduction = define('mean', undefined, (dy, _, { attributes, inputs: [{ shape }] }) => [
  () => raw.expand(raw.div(unfold(dy, shape, attributes), foldedCount(shape, attributes)), shape),
]);
/** Largest value; NaN if there is one. `argmax` tells where. */
export const max: Reduction = define('max', inputAndOutput, extreme);
export const amax: Reduction = max;
export const min: Reduction = define('min', inputAndOutput, extreme);
export const amin: Reduction = min;
/** Largest finite magnitude; 0 where there is none: NaN and infinities do not count. */
export const absmax: Reduction = define('absmax', undefined, null);
/** log(sum(exp(src))), computed without overflow. */
export const logsumexp: Reduction = define('logsumexp', inputAndOutput, (dy, [src, output], { attributes, inputs: [{ shape }] }) => [
  () => raw.mul(raw.unary('exp', raw.sub(src, unfold(output, shape, attributes))), unfold(dy, shape, attributes)),
]);
/** Whether any value, or every value, is not 0. */
export const any: Reduction = define('any', undefined, null);
export const all: Reduction = define('all', undefined, null);

const variance = define(
  'var',
  ([src]) => [src],
  (dy, [src], { attributes, inputs: [{ shape }] }) => [
    () => {
      const centered = raw.sub(src, raw.reduce('mean', src, attributes.axes, true));
      const scale = 2 / (foldedCount(shape, attributes) - attributes.correction);
      return raw.mul(raw.mul(centered, scale), unfold(dy, shape, attributes));
    },
  ],
);

/** Variance with Bessel's correction by default, as in PyTorch; correction 0 divides by the count. */
function var_(src: Tensor, options: Axes | VarOptions = {}): Tensor {
  return variance(src, { correction: 1, ...optionsOf(options) });
}
export { var_ as var };

export interface ArgOptions {
  /** Default: the index in the flattened tensor. */
  axis?: number;
  keepdim?: boolean;
}

function argReduce(kind: 'max' | 'min', src: Tensor, { axis, keepdim = false }: ArgOptions): Tensor {
  const plain = requireTensor(`arg${kind}`, src).dequantize();
  showOp({ name: `arg${kind}` }, [src], null);
  if (axis !== undefined) return Tensor.fromNative(native.argReduce(ReduceOp[kind], plain.native, axis, keepdim));
  return Tensor.fromNative(native.argReduce(ReduceOp[kind], native.reshape(plain.native, [-1]), 0, false));
}

/** Index (int64) of the first largest value, in the flattened tensor or along an axis; NaN counts as largest. */
export function argmax(src: Tensor, options: number | ArgOptions = {}): Tensor {
  return argReduce('max', src, typeof options === 'number' ? { axis: options } : options);
}

export function argmin(src: Tensor, options: number | ArgOptions = {}): Tensor {
  return argReduce('min', src, typeof options === 'number' ? { axis: options } : options);
}

const runningSum = (src: Tensor, axis: number) => Tensor.fromNative(native.cumsum(src.native, axis));

/** The elements along an axis in reverse order. */
function reversed(src: Tensor, axis: number): Tensor {
  const last = src.shape[raw.wrapAxis(axis, src.ndim)] - 1;
  const places = native.arange(last, -1, -1, dtypeCode('int64'), native.deviceOf(src.native));
  return Tensor.fromNative(native.indexSelect(src.native, axis, places));
}

const cumsumOp: Op<number> = {
  name: 'cumsum',
  forward: ([src], axis) => runningSum(src, axis),
  // The sum over everything from an element on.
  vjp: (dy, _, { attributes: axis, inputs: [{ shape }] }) => [
    () => (shape.length === 0 ? dy : reversed(runningSum(reversed(dy, axis), axis), axis)),
  ],
};

/** Running sum along an axis. */
export function cumsum(src: Tensor, axis = -1): Tensor {
  return apply(cumsumOp, [src], axis);
}
reduceOps.push(cumsumOp);
