import { join } from 'node:path';
import { parseIdx, readIdx } from '../../../examples/mnist/idx';

/** A file of two 2 x 3 images. */
const good = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255];
const parse = (bytes: readonly number[]) => parseIdx(Uint8Array.from(bytes), 'images');
const changed = (place: number, value: number) => good.map((byte, i) => (i === place ? value : byte));

test('sizes and values of a good file', () => {
  const { shape, values } = parse(good);
  expect(shape).toEqual([2, 2, 3]);
  expect([...values]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255]);
});

test('a file within a larger buffer', () => {
  const bytes = Uint8Array.from([9, 9, 9, ...good]).subarray(3);
  expect(parseIdx(bytes, 'images').shape).toEqual([2, 2, 3]);
});

test('sizes are unsigned', () => {
  expect(() => parse(changed(4, 0xff))).toThrow('4278190082 x 2 x 3');
});

test.each([
  ['an empty file', [], 'it does not begin with two zero bytes'],
  ['a wrong magic number', changed(0, 1), 'it does not begin with two zero bytes'],
  ['floats', changed(2, 13), 'its values have type 13 instead of 8'],
  ['a file cut short in the sizes', good.slice(0, 11), 'it ends within the sizes of its 3 dimensions'],
  ['a file cut short in the values', good.slice(0, -1), 'the sizes 2 x 2 x 3 make 12 values, but it holds 11'],
  ['a file with bytes left over', [...good, 0], 'the sizes 2 x 2 x 3 make 12 values, but it holds 13'],
])('%s is refused', (_, bytes, problem) => {
  expect(() => parse(bytes)).toThrow(`images is not an IDX file of unsigned bytes: ${problem}`);
});

test('a missing file is named', async () => {
  const path = join(__dirname, 'absent-idx3-ubyte');
  await expect(readIdx(path)).rejects.toThrow(path);
});
