// The workflow on real checkpoints; their README documents what float32 and integer weights reach.
import { calibration, freeze, type models, noGrad, quantizationMap, quantize, smooth, tidy } from '../../lib';
import { cifarFiles, imageBatches, loadResNet20, topOne } from '../harness/cifar';
import { describeWith, sharedPath } from '../harness/shared';
import { injectOutliers, loadStories, perplexity, storiesFiles, storyChunks, tokensOf } from '../harness/stories';
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

/** A few stories of the text, to see activations. */
const someStories = (chunks: number[][]) => chunks.slice(0, 4).map((chunk) => tokensOf(chunk.slice(0, 200)));

describeWith(storiesFiles, 'stories260K with outliers in its activations', () => {
  test('loses badly with integer activations, and smoothing brings it back', async () => {
    const chunks = storyChunks(new Tok512(sharedPath(storiesFiles[1])));
    const samples = someStories(chunks);
    const perplexityOf = (model: models.Llama) => {
      quantize(model, { weights: 'qint8', activations: 'qint8' });
      calibration(() => samples.forEach((tokens) => noGrad(() => tidy(() => void model.forward(tokens)))));
      freeze(model);
      return perplexity(model, chunks).perplexity;
    };
    const float = injectOutliers(await loadStories());
    const reference = perplexity(float, chunks).perplexity;
    expect(Math.abs(reference - 5.2385)).toBeLessThan(0.001);
    const smoothed = float.clone();
    const done = await smooth(smoothed, samples);
    // Two norms in each of five layers take over the factors of the projections behind them.
    const shared = done.filter(({ into }) => into?.endsWith('_norm')).map(({ layers }) => layers.length);
    expect(shared.sort((a, b) => b - a)).toEqual([3, 3, 3, 3, 3, 2, 2, 2, 2, 2]);
    expect(perplexityOf(float)).toBeGreaterThan(2 * reference);
    expect(perplexityOf(smoothed)).toBeLessThan(1.01 * reference);
  });
});

describeWith(storiesFiles, 'stories260K with weights of few bits', () => {
  test.each([
    [{ weights: 'qint4', groupSize: 32 }, 6.0],
    [{ weights: 'qfloat8' }, 5.3],
  ])('%j stays below a perplexity of %s', async (options, bound) => {
    const model = await loadStories();
    quantize(model, options);
    freeze(model);
    expect(perplexity(model, storyChunks(new Tok512(sharedPath(storiesFiles[1])))).perplexity).toBeLessThan(bound);
  });
});

describeWith(cifarFiles, 'ResNet-20 with qint4 weights', () => {
  test('frozen, it keeps its accuracy', async () => {
    const model = await loadResNet20();
    quantize(model, { weights: 'qint4' });
    freeze(model);
    expect(topOne(model)).toBeGreaterThanOrEqual(0.9);
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
