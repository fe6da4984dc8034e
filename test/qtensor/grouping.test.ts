import { arange, manualSeed, randn } from '../../lib';
import { group, groupedShape, groupScaleShape, moduleGroupSize, ungroup, valuesPerIndex } from '../../lib/qtensor/grouping';

describe('groups', () => {
  it('of the first axis are runs of a row', () => {
    const src = arange(16).reshape(2, 8);
    expect(group(src, 0, 4).tolist()).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9, 10, 11],
      [12, 13, 14, 15],
    ]);
  });

  it('of the last axis are columns, all groups of the first column index first', () => {
    const src = arange(16).reshape(8, 2);
    expect(group(src, -1, 4).t().tolist()).toEqual([
      [0, 2, 4, 6],
      [8, 10, 12, 14],
      [1, 3, 5, 7],
      [9, 11, 13, 15],
    ]);
  });

  it.each([
    [0, 4, [6, 8]],
    [-1, 3, [6, 8]],
    [0, 9, [4, 2, 3, 3]],
    [-1, 8, [4, 2, 3]],
    [0, null, [5, 3]],
    [-1, null, [5, 3]],
  ] as const)('along %s of size %s make the values of %s again', (axis, groupSize, shape) => {
    manualSeed(1);
    const src = randn(shape);
    const grouped = group(src, axis, groupSize);
    expect(grouped.shape).toEqual(groupedShape(shape, axis, groupSize));
    expect(ungroup(grouped, axis, groupSize, shape).tolist()).toEqual(src.tolist());
  });

  it('have a scale each', () => {
    expect(groupScaleShape([6, 4], 0)).toEqual([6, 1]);
    expect(groupScaleShape([4, 6], -1)).toEqual([1, 6]);
    expect(groupScaleShape([4, 2, 3, 3], 0)).toEqual([4, 1, 1, 1]);
    expect(valuesPerIndex([4, 2, 3, 3], 0)).toBe(18);
    expect(valuesPerIndex([4, 2, 3], -1)).toBe(8);
  });
});

describe('the group size of a module', () => {
  it.each([
    [64, null],
    [128, null],
    [129, null],
    [144, null],
    [160, 32],
    [192, 96],
    [256, 128],
    [320, 64],
    [1000, null],
  ])('is chosen by %i values in a channel: %s', (values, size) => {
    expect(moduleGroupSize(values)).toBe(size);
  });

  it('is the one that was asked for where it divides', () => {
    expect(moduleGroupSize(64, 32)).toBe(32);
    expect(moduleGroupSize(172, 32)).toBeNull();
    expect(moduleGroupSize(192, 64)).toBe(64);
    expect(moduleGroupSize(192, 50)).toBe(96);
  });
});
