// The workflow on real checkpoints; their README documents what float32 and integer weights reach.
import { calibration, freeze, noGrad, quantizationMap, quantize, tidy } from '../../lib';
import { cifarFiles, imageBatches, loadResNet20, topOne } from '../harness/cifar';
import { describeWith, sharedPath } from '../harness/shared';
import { loadStories, perplexity, storiesFiles, storyChunks } from '../harness/stories';
import { Tok512 } from '../harness/tok512';

describeWith(storiesFiles, 'stories260K with qint8 weights', () => {
  test('frozen, it reaches the documented perplexity', async () => {
    const model = await loadStories();
    quantize(model, { weights: 'qint8' });
    // Seven projections in each of five layers.
    expect(Object.keys(quantizationMap(model))).toHaveLength(35);
    freeze(model);
    const result = perplexity(model, storyChunks(new Tok512(sharedPath(storiesFiles[1]))));
    expect(result.predicted).toBe(37089);
    expect(Math.abs(result.perplexity - 5.234)).toBeLessThan(0.02);
  });
});

describeWith(cifarFiles, 'ResNet-20 with qint8 weights', () => {
  test('frozen, it keeps its accuracy', async () => {
    const model = await loadResNet20();
    quantize(model, { weights: 'qint8' });
    freeze(model);
    expect(topOne(model)).toBeGreaterThanOrEqual(0.91);
  });

  test.each([
    [true, false],
    [false, false],
    [true, true],
    [false, true],
  ])('with calibrated qint8 activations, too (streamline: %p, integerConvs: %p)', async (streamline, integerConvs) => {
    const model = await loadResNet20();
    quantize(model, { weights: 'qint8', activations: 'qint8', integerConvs });
    calibration(
      () => {
        for (const images of imageBatches(cifarFiles[3], 100)) noGrad(() => tidy(() => void model.forward(images)));
      },
      { streamline },
    );
    freeze(model);
    expect(topOne(model)).toBeGreaterThanOrEqual(0.9);
  });
});
