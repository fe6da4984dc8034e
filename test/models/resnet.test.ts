import { loadSafetensors, readSafetensorsMetadata } from '../../lib/io';
import { normalizeImages, ResNet } from '../../lib/models';
import { functional as F } from '../../lib/nn';
import { manualSeed, randn, tensor, zeros } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import { cifarFiles, loadResNet20, topOne } from '../harness/cifar';
import { codeOf } from '../harness/errors';
import { describeWith, sharedPath } from '../harness/shared';

test('depth 6n + 2 gives n blocks a stage; other depths are refused', () => {
  expect(new ResNet({ depth: 32 }).layer2.length).toBe(5);
  for (const depth of [2, 18, 21]) expect(codeOf(() => new ResNet({ depth }))).toBe('INVALID_ARGUMENT');
});

test('a shortcut that widens takes every second pixel and adds zero channels on both sides', () => {
  const model = new ResNet({ depth: 8 });
  const block = model.layer2[0];
  block.eval();
  // With no convolution the block is the relu of its shortcut.
  noGrad(() => block.parameters().forEach((parameter) => parameter.zero_()));
  manualSeed(5);
  const src = randn([1, 16, 4, 4]);
  const out = block.forward(src);
  expect(out.shape).toEqual([1, 32, 2, 2]);
  const expected = F.relu(F.pad(src.slice(2, 0, 4, 2).slice(3, 0, 4, 2), [0, 0, 0, 0, 8, 8]));
  expect(out.equal(expected)).toBe(true);
});

test('gradients reach every parameter in training', () => {
  manualSeed(5);
  const model = new ResNet({ depth: 8, classes: 3 });
  F.crossEntropy(model.forward(randn([4, 3, 32, 32])), tensor([0, 1, 2, 0], { dtype: 'int64' })).backward();
  expect(model.namedParameters().filter(([, { grad }]) => grad === null || grad.absmax().item() === 0)).toEqual([]);
  expect(model.bn1.num_batches_tracked?.item()).toBe(1);
});

test('images are scaled, normalized and turned to channels first', () => {
  const images = zeros([1, 1, 2, 3], { dtype: 'uint8' }).add(tensor([0, 255, 51], { dtype: 'uint8' }));
  const normalized = normalizeImages(images);
  expect(normalized.shape).toEqual([1, 3, 1, 2]);
  const expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225];
  const values = normalized.select(3, 1).reshape(3).tolist() as number[];
  values.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5));
});

describeWith(cifarFiles, 'ResNet-20 for CIFAR-10', () => {
  test('the checkpoint loads by name and classifies 91.5 % of the test images', async () => {
    const weights = sharedPath(cifarFiles[0]);
    expect(await readSafetensorsMetadata(weights)).toMatchObject({ mean: '0.485,0.456,0.406', std: '0.229,0.224,0.225' });
    expect(new ResNet({ depth: 20 }).loadStateDict(await loadSafetensors(weights))).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(Math.abs(topOne(await loadResNet20()) - 0.915)).toBeLessThanOrEqual(0.003);
  });
});
