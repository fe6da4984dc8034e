// Groups of values that share a scale and a shift: the layout that optimum-quanto's group() makes.
import * as raw from '../ops/raw';
import type { Tensor } from '../tensor/tensor';

/** The axis of the scales of groups: the first or the last. */
export type GroupAxis = 0 | -1;

const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

/** Values with one index along the axis: those that groups divide. */
export function valuesPerIndex(shape: readonly number[], axis: GroupAxis): number {
  return product(axis === 0 ? shape.slice(1) : shape.slice(0, -1));
}

/**
 * The group size that a quantized module chooses (Quanto's rule): 128, 96, 64 or 32, the first that divides the values of an output
 * channel, if there are more than 128 of them; null is one group for each channel. An asked size comes first where it divides them.
 */
export function moduleGroupSize(perChannel: number, asked?: number): number | null {
  if (asked !== undefined && perChannel % asked === 0) return asked;
  if (perChannel <= 128) return null;
  return [128, 96, 64, 32].find((size) => perChannel % size === 0) ?? null;
}

/** The shape of grouped values: [groups, groupSize] for the first axis, [groupSize, groups] for the last. */
export function groupedShape(shape: readonly number[], axis: GroupAxis, groupSize: number | null): readonly number[] {
  if (groupSize === null) return shape;
  const groups = product(shape) / groupSize;
  return axis === 0 ? [groups, groupSize] : [groupSize, groups];
}

/** The shape of the scales of grouped values: 1 everywhere but along the axis. */
export function groupScaleShape(grouped: readonly number[], axis: GroupAxis): readonly number[] {
  const along = axis === 0 ? 0 : grouped.length - 1;
  return grouped.map((size, i) => (i === along ? size : 1));
}

/** Values in groups; on the last axis a group takes neighbours along the others. */
export function group(src: Tensor, axis: GroupAxis, groupSize: number | null): Tensor {
  const shape = groupedShape(src.shape, axis, groupSize);
  if (groupSize === null || axis === 0) return raw.reshape(src, shape);
  const last = src.shape.at(-1) as number;
  return raw.reshape(raw.permute(raw.reshape(src, [-1, groupSize, last]), [1, 2, 0]), shape);
}

/** The reverse of `group`. */
export function ungroup(src: Tensor, axis: GroupAxis, groupSize: number | null, shape: readonly number[]): Tensor {
  if (groupSize === null || axis === 0) return raw.reshape(src, shape);
  const last = shape.at(-1) as number;
  return raw.reshape(raw.permute(raw.reshape(src, [groupSize, last, -1]), [2, 0, 1]), shape);
}
