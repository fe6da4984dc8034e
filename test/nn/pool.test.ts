import { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from '../../lib/nn';
import { arange } from '../../lib/ops';

/** 0 to 15 in rows of 4. */
const image = () => arange(0, 16, 1, { dtype: 'float32' }).reshape(1, 1, 4, 4);
const plane = (layer: { forward(src: ReturnType<typeof image>): ReturnType<typeof image> }) =>
  layer.forward(image()).select(0, 0).select(0, 0).tolist();

test('MaxPool2d', () => {
  expect(plane(new MaxPool2d(2))).toEqual([[5, 7], [13, 15]]); // prettier-ignore
  expect(plane(new MaxPool2d(3, { stride: 2, padding: 1 }))).toEqual([[5, 7], [13, 15]]); // prettier-ignore
  expect(plane(new MaxPool2d(2, { stride: 1, dilation: 2 }))).toEqual([[10, 11], [14, 15]]); // prettier-ignore
});

test('AvgPool2d', () => {
  expect(plane(new AvgPool2d(2))).toEqual([[2.5, 4.5], [10.5, 12.5]]); // prettier-ignore
  expect(plane(new AvgPool2d(2, { padding: 1, stride: 4 }))).toEqual([[0, 0.75], [3, 3.75]]); // prettier-ignore
  const wide = { stride: 2, padding: [0, 1] } as const;
  expect(plane(new AvgPool2d([2, 4], wide))).toEqual([[2.25, 3], [8.25, 9]]); // prettier-ignore
  expect(plane(new AvgPool2d([2, 4], { ...wide, countIncludePad: false }))).toEqual([[3, 4], [11, 12]]); // prettier-ignore
});

test('AdaptiveAvgPool2d', () => {
  expect(plane(new AdaptiveAvgPool2d(1))).toEqual([[7.5]]);
  // Windows of three parts in four rows overlap: rows 0-1, 1-2, 2-3.
  expect(plane(new AdaptiveAvgPool2d([3, 1]))).toEqual([[3.5], [7.5], [11.5]]);
});
