import { native, type NativeTensor } from '../native';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireTensor, type Vjp } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

/** Sizes, as one array or as separate arguments. */
type Sizes = readonly number[] | readonly [readonly number[]];

const sizesOf = (sizes: Sizes): readonly number[] =>
  Array.isArray(sizes[0]) ? (sizes[0] as readonly number[]) : (sizes as readonly number[]);

/** The gradient of ops that keep every element in its row-major place. */
const reshapeBack: Vjp<unknown> = (dy, _, { inputs: [{ shape }] }) => [() => raw.reshape(dy, shape)];

/** The gradient of ops that read a window of their source: zeros but in that window. */
const windowBack =
  <A>(window: (src: NativeTensor, attributes: A) => NativeTensor): Vjp<A> =>
  (dy, _, { attributes, inputs: [{ shape }] }) => [
    () => {
      const gradient = raw.zeros(shape, dy);
      native.copyInPlace(window(gradient.native, attributes), dy.native);
      return gradient;
    },
  ];

const viewOp: Op<readonly number[]> = {
  name: 'view',
  forward: ([src], shape) => Tensor.fromNative(native.view(src.native, shape)),
  vjp: reshapeBack,
};

/** The same elements in another shape, without a copy: throws where `reshape` would need one. One size may be -1. */
export function view(src: Tensor, ...shape: number[] | [readonly number[]]): Tensor {
  return apply(viewOp, [src], sizesOf(shape));
}

const reshapeOp: Op<readonly number[]> = { name: 'reshape', forward: ([src], shape) => raw.reshape(src, shape), vjp: reshapeBack };

/** The same elements in another shape, copied only where no view has it. One size may be -1. */
export function reshape(src: Tensor, ...shape: number[] | [readonly number[]]): Tensor {
  return apply(reshapeOp, [src], sizesOf(shape));
}

const flattenOp: Op<{ start: number; end: number }> = {
  name: 'flatten',
  forward: ([src], { start, end }) => {
    const first = raw.axisOf('flatten', start, src.ndim);
    const last = raw.axisOf('flatten', end, src.ndim);
    if (first > last) throw new QuantoError('INVALID_ARGUMENT', `[flatten] expected axis ${start} to come before axis ${end}`);
    const folded = src.shape.slice(first, last + 1).reduce((product, size) => product * size, 1);
    return raw.reshape(src, [...src.shape.slice(0, first), folded, ...src.shape.slice(last + 1)]);
  },
  vjp: reshapeBack,
};

/** Dimensions start to end, both included, as one. */
export function flatten(src: Tensor, start = 0, end = -1): Tensor {
  return apply(flattenOp, [src], { start, end });
}

const squeezeOp: Op<readonly number[] | null> = {
  name: 'squeeze',
  forward: ([src], axes) => {
    const chosen = new Set(axes ? axes.map((axis) => raw.axisOf('squeeze', axis, src.ndim)) : src.shape.keys());
    return raw.reshape(
      src,
      src.shape.filter((size, i) => size !== 1 || !chosen.has(i)),
    );
  },
  vjp: reshapeBack,
};

/** Without the dimensions of size 1, or those among `axis`. */
export function squeeze(src: Tensor, axis: number | readonly number[] | null = null): Tensor {
  return apply(squeezeOp, [src], typeof axis === 'number' ? [axis] : axis);
}

const unsqueezeOp: Op<number> = {
  name: 'unsqueeze',
  forward: ([src], axis) => {
    const shape = [...src.shape];
    shape.splice(raw.axisOf('unsqueeze', axis, src.ndim + 1), 0, 1);
    return raw.reshape(src, shape);
  },
  vjp: reshapeBack,
};

/** With a new dimension of size 1 at `axis`. */
export function unsqueeze(src: Tensor, axis: number): Tensor {
  return apply(unsqueezeOp, [src], axis);
}

const permuteOp: Op<readonly number[]> = {
  name: 'permute',
  forward: ([src], axes) => raw.permute(src, axes),
  vjp: (dy, _, { attributes: axes }) => [
    () => {
      const inverse = [...axes];
      axes.forEach((axis, i) => (inverse[raw.wrapAxis(axis, axes.length)] = i));
      return raw.permute(dy, inverse);
    },
  ],
};

/** Dimension i of the result is dimension axes[i] of the source. */
export function permute(src: Tensor, ...axes: number[] | [readonly number[]]): Tensor {
  return apply(permuteOp, [src], sizesOf(axes));
}

function swap(op: string, src: Tensor, [first, second]: readonly [number, number]): Tensor {
  const [i, j] = [raw.axisOf(op, first, src.ndim), raw.axisOf(op, second, src.ndim)];
  const axes = [...src.shape.keys()];
  if (axes.length > 0) [axes[i], axes[j]] = [j, i];
  return raw.permute(src, axes);
}

const transposeOp: Op<readonly [number, number]> = {
  name: 'transpose',
  forward: ([src], axes) => swap('transpose', src, axes),
  vjp: (dy, _, { attributes: axes }) => [() => swap('transpose', dy, axes)],
};

/** Two dimensions swapped; a view. */
export function transpose(src: Tensor, first: number, second: number): Tensor {
  return apply(transposeOp, [src], [first, second]);
}

const tOp: Op = {
  name: 't',
  forward: ([src]) => {
    if (src.ndim > 2) {
      throw new QuantoError(
        'SHAPE_MISMATCH',
        `[t] expected at most 2 dimensions but got shape [${src.shape.join(', ')}]; use transpose(first, second)`,
      );
    }
    return swap('t', src, [0, -1]);
  },
  vjp: (dy) => [() => swap('t', dy, [0, -1])],
};

/** A matrix transposed; vectors and numbers stay as they are. */
export function t(src: Tensor): Tensor {
  return apply(tOp, [src], undefined);
}

/** The engine sums the gradient over the dims that were expanded. */
const expandOp: Op<readonly number[]> = { name: 'expand', forward: ([src], shape) => raw.expand(src, shape), vjp: (dy) => [() => dy] };

/** Dimensions of size 1 repeated without a copy, by the broadcasting rule; -1 keeps a size. */
export function expand(src: Tensor, ...shape: number[] | [readonly number[]]): Tensor {
  return apply(expandOp, [src], sizesOf(shape));
}

interface Range {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

const sliceOf = (src: NativeTensor, { axis, start, end, step }: Range) => native.slice(src, axis, start, end, step);
const sliceOp: Op<Range> = {
  name: 'slice',
  forward: ([src], range) => Tensor.fromNative(sliceOf(src.native, range)),
  vjp: windowBack(sliceOf),
};

/** Elements start, start + step, ... below end along an axis; negative positions count from the end, as in Python. A view. */
export function slice(src: Tensor, axis: number, start = 0, end = Number.MAX_SAFE_INTEGER, step = 1): Tensor {
  return apply(sliceOp, [src], { axis, start, end, step });
}

interface Place {
  readonly axis: number;
  readonly index: number;
}

const selectOf = (src: NativeTensor, { axis, index }: Place) => native.select(src, axis, index);
const selectOp: Op<Place> = {
  name: 'select',
  forward: ([src], place) => Tensor.fromNative(selectOf(src.native, place)),
  vjp: windowBack(selectOf),
};

/** The slice at one index along an axis, without that dimension. A view. */
export function select(src: Tensor, axis: number, index: number): Tensor {
  return apply(selectOp, [src], { axis, index });
}

/** Pieces of the given size along an axis (the last may be smaller), or of the given sizes. Views. */
export function split(src: Tensor, size: number | readonly number[], axis = 0): Tensor[] {
  const length = requireTensor('split', src).shape[raw.axisOf('split', axis, src.ndim)];
  let sizes: readonly number[];
  if (typeof size === 'number') {
    if (!Number.isInteger(size) || size < 1)
      throw new QuantoError('INVALID_ARGUMENT', `[split] expected a size of at least 1 but got ${size}`);
    sizes = Array.from({ length: Math.max(1, Math.ceil(length / size)) }, () => size);
  } else {
    sizes = size;
    if (sizes.some((part) => part < 0) || sizes.reduce((sum, part) => sum + part, 0) !== length) {
      throw new QuantoError('SHAPE_MISMATCH', `[split] expected sizes of at least 0 whose sum is ${length} but got [${sizes.join(', ')}]`);
    }
  }
  let start = 0;
  return sizes.map((part) => slice(src, axis, start, (start += part)));
}

/** At most `count` pieces of one size along an axis (the last may be smaller), as PyTorch's. Views. */
export function chunk(src: Tensor, count: number, axis = 0): Tensor[] {
  if (!Number.isInteger(count) || count < 1)
    throw new QuantoError('INVALID_ARGUMENT', `[chunk] expected a count of at least 1 but got ${count}`);
  const length = requireTensor('chunk', src).shape[raw.axisOf('chunk', axis, src.ndim)];
  // Of nothing there are as many pieces as were asked for.
  return split(src, length === 0 ? Array.from({ length: count }, () => 0) : Math.ceil(length / count), axis);
}

const catOp: Op<number> = {
  name: 'cat',
  forward: (inputs, axis) => {
    const parts = inputs.map((input) => input.native);
    return Tensor.fromNative(native.cat(parts, axis));
  },
  vjp: (dy, _, { attributes: axis, inputs }) => {
    const along = raw.wrapAxis(axis, dy.ndim);
    let end = 0;
    return inputs.map(({ shape }) => {
      const start = end;
      end += shape[along];
      return () => raw.slice(dy, along, start, start + shape[along]);
    });
  },
};

function requireList(op: string, tensors: readonly Tensor[]): void {
  if (Array.isArray(tensors) && tensors.length > 0) return;
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected an array of at least one tensor but got ${String(tensors)}`);
}

/** Tensors joined along an axis; their other sizes are equal. */
export function cat(tensors: readonly Tensor[], axis = 0): Tensor {
  requireList('cat', tensors);
  return apply(catOp, tensors, axis);
}

const stackOp: Op<number> = {
  name: 'stack',
  forward: (inputs, axis) => {
    const different = inputs.find(({ shape }) => shape.join() !== inputs[0].shape.join());
    if (different) {
      throw new QuantoError(
        'SHAPE_MISMATCH',
        `[stack] expected tensors of one shape but got [${inputs[0].shape.join(', ')}] and [${different.shape.join(', ')}]`,
      );
    }
    const parts = inputs.map((input) => unsqueezeOp.forward([input], axis) as Tensor);
    return catOp.forward(parts, axis);
  },
  vjp: (dy, _, { attributes: axis, inputs }) =>
    inputs.map((_input, index) => () => Tensor.fromNative(native.select(dy.native, axis, index))),
};

/** Tensors of one shape joined along a new dimension. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  requireList('stack', tensors);
  return apply(stackOp, tensors, axis);
}

interface Padding {
  /** Pairs (before, after), the last dimension first. */
  readonly padding: readonly number[];
  readonly value: number;
}

/** Elements before and after each dimension, the first dimension first. */
function padded(ndim: number, padding: readonly number[]): { before: number[]; after: number[] } {
  if (padding.length % 2 !== 0 || padding.length > 2 * ndim) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[pad] expected pairs (before, after) for at most ${ndim} dimensions but got [${padding.join(', ')}]`,
    );
  }
  const side = (offset: number) => Array.from({ length: ndim }, (_, i) => padding[2 * (ndim - 1 - i) + offset] ?? 0);
  return { before: side(0), after: side(1) };
}

const padOp: Op<Padding> = {
  name: 'pad',
  forward: ([src], { padding, value }) => {
    const { before, after } = padded(src.ndim, padding);
    return raw.pad(src, before, after, value);
  },
  vjp: (dy, _, { attributes: { padding }, inputs: [{ shape }] }) => [
    () => {
      const { before } = padded(shape.length, padding);
      return shape.reduce((inner, size, axis) => raw.slice(inner, axis, before[axis], before[axis] + size), dy);
    },
  ],
};

/** With `value` around: pairs of sizes before and after a dimension, from the last dimension on, as in PyTorch. */
export function pad(src: Tensor, padding: readonly number[], value = 0): Tensor {
  return apply(padOp, [src], { padding, value });
}

export const shapeOps: readonly AnyOp[] = [
  viewOp,
  reshapeOp,
  flattenOp,
  squeezeOp,
  unsqueezeOp,
  permuteOp,
  transposeOp,
  tOp,
  expandOp,
  sliceOp,
  selectOp,
  catOp,
  stackOp,
  padOp,
];
