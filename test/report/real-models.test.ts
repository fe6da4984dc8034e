// Reports on real checkpoints: convolutions and batch norms, a Llama of tokens, both tidying in their own forward.
import { calibration, compare, type Comparison, noGrad, quantize, tensor, tidy } from '../../lib';
import { cifarFiles, imageBatches, loadResNet20 } from '../harness/cifar';
import { describeWith, sharedPath } from '../harness/shared';
import { loadStories, storiesFiles, storyChunks } from '../harness/stories';
import { Tok512 } from '../harness/tok512';

const both = { weights: 'qint8', activations: 'qint8', inPlace: false } as const;

/** The deviations of a report, those of every module alone first. */
function sane({ modules, output }: Comparison): void {
  for (const { name, alone, accumulated } of modules) {
    // Eight bits are worth about 48 dB where values fill their range evenly; long tails cost more than half of that.
    expect([name, alone!.sqnr > 15 && alone!.sqnr < 60]).toEqual([name, true]);
    // What was wrong before a module makes it worse, but for what rounds in its favour.
    expect([name, accumulated!.sqnr < alone!.sqnr + 1]).toEqual([name, true]);
  }
  expect(output.sqnr).toBeGreaterThan(20);
}

describeWith(cifarFiles, 'ResNet-20', () => {
  test('each of its convolutions and its classifier is compared', async () => {
    const model = await loadResNet20();
    const quantized = quantize(model, both);
    const images = imageBatches(cifarFiles[3], 50).next().value!;
    calibration(() => noGrad(() => tidy(() => void quantized.forward(images))));
    const comparison = await compare(model, quantized, [images]);
    expect(comparison.modules.map(({ type }) => type)).toEqual([...Array<string>(19).fill('QConv2d'), 'QLinear']);
    sane(comparison);
    // The last module makes the output.
    expect(comparison.modules.at(-1)!.accumulated).toMatchObject({ sqnr: comparison.output.sqnr, maxError: comparison.output.maxError });
  });
});

describeWith(storiesFiles, 'stories260K', () => {
  test('its down-projections have the most noise', async () => {
    const model = await loadStories();
    const quantized = quantize(model, both);
    const tokens = storyChunks(new Tok512(sharedPath(storiesFiles[1])))
      .slice(0, 2)
      .map((chunk) => [tensor([chunk.slice(0, 100)], { dtype: 'int64' })]);
    calibration(() => tokens.forEach(([ids]) => noGrad(() => quantized.forward(ids))));
    const comparison = await compare(model, quantized, tokens);
    expect(comparison.modules).toHaveLength(35);
    sane(comparison);
    const worst = [...comparison.modules].sort((a, b) => a.alone!.sqnr - b.alone!.sqnr).slice(0, 4);
    expect(worst.map(({ name }) => name.replace(/^layers\.\d\./, ''))).toEqual(Array(4).fill('feed_forward.w2'));
  });
});
