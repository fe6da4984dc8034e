// The index family (index.ts is the registry). Index tensors are int64 or int32; one out of range fails where the result is read.
import { native } from '../native';
import { type AnyOp, apply, type Op, requireTensor } from '../tensor/op';
import { showOp } from '../tensor/op-observer';
import { tidy } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import { ones, zeros } from './creation';
import * as raw from './raw';
import { unsqueeze } from './shape';

const wrap = (handle: Parameters<typeof Tensor.fromNative>[0]) => Tensor.fromNative(handle);

const indexSelectOp: Op<number> = {
  name: 'indexSelect',
  forward: ([src, index], axis) => wrap(native.indexSelect(src.native, axis, index.native)),
  save: ([, index]) => [index],
  vjp: (dy, [index], { attributes: axis, inputs: [{ shape }] }) => [
    () => wrap(native.indexAdd(raw.zeros(shape, dy).native, axis, index.native, dy.native)),
  ],
};

/** The slices along an axis that a 1-D index names. */
export function indexSelect(src: Tensor, axis: number, index: Tensor): Tensor {
  return apply(indexSelectOp, [src, index], axis);
}

const indexAddOp: Op<number> = {
  name: 'indexAdd',
  forward: ([src, index, updates], axis) => wrap(native.indexAdd(src.native, axis, index.native, updates.native)),
  save: ([, index]) => [index],
  vjp: (dy, [index], { attributes: axis }) => [() => dy, () => dy, () => wrap(native.indexSelect(dy.native, axis, index.native))],
};

/** src plus slices of `updates` at the places that indexSelect would read. */
export function indexAdd(src: Tensor, axis: number, index: Tensor, updates: Tensor): Tensor {
  return apply(indexAddOp, [src, index, updates], axis);
}

const gatherOp: Op<number> = {
  name: 'gather',
  forward: ([src, index], axis) => wrap(native.gather(src.native, axis, index.native)),
  save: ([, index]) => [index],
  vjp: (dy, [index], { attributes: axis, inputs: [{ shape }] }) => [
    () => wrap(native.scatterAdd(raw.zeros(shape, dy).native, axis, index.native, dy.native)),
  ],
};

/** out[.., i, ..] = src[.., index[.., i, ..], ..]: an index of as many dimensions names a position along the axis for each result. */
export function gather(src: Tensor, axis: number, index: Tensor): Tensor {
  return apply(gatherOp, [src, index], axis);
}

const scatterAddOp: Op<number> = {
  name: 'scatterAdd',
  forward: ([src, index, updates], axis) => wrap(native.scatterAdd(src.native, axis, index.native, updates.native)),
  save: ([, index]) => [index],
  vjp: (dy, [index], { attributes: axis, inputs: [, , { shape }] }) => [
    () => dy,
    () => dy,
    // The index may be smaller than the updates, whose rest was not read.
    () => {
      const read = wrap(native.gather(dy.native, axis, index.native));
      const after = shape.map((size, i) => size - read.shape[i]);
      return after.some((size) => size > 0)
        ? raw.pad(
            read,
            after.map(() => 0),
            after,
          )
        : read;
    },
  ],
};

/** src plus `updates` at the places that gather would read. */
export function scatterAdd(src: Tensor, axis: number, index: Tensor, updates: Tensor): Tensor {
  return apply(scatterAddOp, [src, index, updates], axis);
}

const embeddingOp: Op = {
  name: 'embedding',
  forward: ([weight, index]) => wrap(native.embedding(weight.native, index.native)),
  save: ([, index]) => [index],
  vjp: (dy, [index], { inputs: [{ shape }] }) => [() => wrap(native.embeddingBackward(dy.native, index.native, shape[0]))],
};

/** Rows of `weight` [rows, d] for an index of any shape: [...index.shape, d]. The order of arguments is PyTorch's. */
export function embedding(index: Tensor, weight: Tensor): Tensor {
  return apply(embeddingOp, [weight, index], undefined);
}

export interface TopkOptions {
  /** Default: the last. */
  axis?: number;
  /** Whether the largest are wanted, or the smallest. Default: true. */
  largest?: boolean;
}

/** The k largest (or smallest) values along an axis in order, and their int64 indices; of equal ones the first. NaN counts as largest. */
export function topk(src: Tensor, k: number, { axis = -1, largest = true }: TopkOptions = {}): { values: Tensor; indices: Tensor } {
  showOp({ name: 'topk' }, [src], null);
  const [values, indices] = native.topk(requireTensor('topk', src).dequantize().native, k, axis, largest).map(wrap);
  if (!src.requiresGrad && !src.isQuantized) return { values, indices };
  values.dispose();
  return { values: gather(src, axis, indices), indices };
}

interface Triangle {
  readonly diagonal: number;
  readonly upper: boolean;
}

const triangle = (src: Tensor, { diagonal, upper }: Triangle) => wrap(native.triangular(src.native, diagonal, upper));

function defineTriangle(name: string, upper: boolean): Op<number> {
  return {
    name,
    forward: ([src], diagonal) => triangle(src, { diagonal, upper }),
    vjp: (dy, _, { attributes: diagonal }) => [() => triangle(dy, { diagonal, upper })],
  };
}
const trilOp = defineTriangle('tril', false);
const triuOp = defineTriangle('triu', true);

/** The lower triangle of the last two dims, zero elsewhere; `diagonal` 1 is the one above the main, -1 the one below. */
export function tril(src: Tensor, diagonal = 0): Tensor {
  return apply(trilOp, [src], diagonal);
}

/** The upper triangle, with the diagonal. */
export function triu(src: Tensor, diagonal = 0): Tensor {
  return apply(triuOp, [src], diagonal);
}

/** int64 [...index.shape, classes]: 1 at each index, 0 elsewhere. An index outside the classes fails where the result is read. */
export function oneHot(index: Tensor, classes: number): Tensor {
  const { device, shape } = requireTensor('oneHot', index);
  const options = { dtype: 'int64', device } as const;
  return tidy(() => {
    const places = unsqueeze(raw.asIndex(index), -1);
    return scatterAdd(zeros([...shape, classes], options), -1, places, ones([...shape, 1], options));
  });
}

export const indexOps: readonly AnyOp[] = [indexSelectOp, indexAddOp, gatherOp, scatterAddOp, embeddingOp, trilOp, triuOp];
