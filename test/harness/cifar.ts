// ResNet-20 and 1,000 labelled test images of CIFAR-10 (data/README.md beside the checkout).
import { readFileSync } from 'node:fs';

import { loadSafetensors } from '../../lib/io';
import { normalizeImages, ResNet } from '../../lib/models';
import { tensor, type Tensor } from '../../lib';
import { noGrad } from '../../lib/tensor/grad-mode';
import { tidy } from '../../lib/tensor/scope';

import { sharedPath } from './shared';

export const cifarFiles = [
  'data/cifar10/resnet20.safetensors',
  'data/cifar10/test1000_images_nhwc.u8',
  'data/cifar10/test1000_labels.u8',
  'data/cifar10/calib1000_train_images_nhwc.u8',
];

const IMAGE_BYTES = 32 * 32 * 3;

export async function loadResNet20(): Promise<ResNet> {
  const model = new ResNet({ depth: 20 });
  model.loadStateDict(await loadSafetensors(sharedPath(cifarFiles[0])));
  return model.eval();
}

/** Normalized images [n, 3, 32, 32] of a file, in batches. */
export function* imageBatches(file: string, batch: number): Generator<Tensor> {
  const bytes = new Uint8Array(readFileSync(sharedPath(file)));
  for (let first = 0; first < bytes.length; first += batch * IMAGE_BYTES) {
    const pixels = bytes.subarray(first, first + batch * IMAGE_BYTES);
    yield normalizeImages(tensor(pixels, { shape: [pixels.length / IMAGE_BYTES, 32, 32, 3] }));
  }
}

/** Share of the test images whose class the model finds. */
export function topOne(model: ResNet): number {
  const labels = new Uint8Array(readFileSync(sharedPath(cifarFiles[2])));
  const chosen = [...imageBatches(cifarFiles[1], 100)].flatMap((images) =>
    noGrad(() => tidy(() => model.forward(images).argmax({ axis: 1 }).tolist() as number[])),
  );
  return chosen.filter((label, i) => label === labels[i]).length / labels.length;
}
