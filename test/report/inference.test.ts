import { calibration, enableGrad, isGradEnabled, memory, nn, noGrad, ones, quantize, randn, tensor, type Tensor, tidy } from '../../lib';
import { calibrations } from '../../lib/quantize/calibration-scope';
import { callForward, float32Copy, inferring, observing, outputTensors } from '../../lib/report/inference';
import { codeOf, errorOf } from '../harness/errors';
import { collectGarbage } from '../harness/garbage';

const modes = (model: nn.Module) => model.modules().map(({ training }) => training);

describe('inferring', () => {
  test('is eval mode without recording, and each module gets its own mode back', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Dropout(0.5), new nn.ReLU());
    model[1].eval();
    const before = modes(model);
    expect(new Set(before).size).toBe(2);
    const inside = enableGrad(() => inferring([model], () => [modes(model), isGradEnabled()]));
    expect(inside).toEqual([[false, false, false, false], false]);
    expect(modes(model)).toEqual(before);
    const fail = () => inferring([model], () => errorOf(() => undefined));
    expect(fail).toThrow();
    expect(modes(model)).toEqual(before);
  });

  test('no calibration sees it', () => {
    const open = calibration();
    expect(inferring([], () => calibrations.current)).toBeUndefined();
    expect(calibrations.current).toBeDefined();
    open.end();
  });

  test('frees what is not returned', async () => {
    const src = ones([8, 8]);
    await collectGarbage();
    const { tensors } = memory();
    const result = inferring([], () => src.add(1).mul(2));
    expect(memory().tensors).toBe(tensors + 1);
    result.dispose();
  });
});

describe('observing', () => {
  test('sees each call, and the hooks go away', () => {
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.ReLU());
    const seen: unknown[] = [];
    const see = (args: readonly unknown[], output: unknown) => void seen.push(args.length, (output as Tensor).shape);
    observing([{ module: model[0], see }], () => {
      callForward(model, [ones([4, 2])]);
      callForward(model, [ones([5, 2])]);
    });
    callForward(model, [ones([6, 2])]);
    expect(seen).toEqual([1, [4, 3], 1, [5, 3]]);
    expect(Object.hasOwn(model[0], 'forward')).toBe(false);
  });

  test('after an error, too', () => {
    const layer = new nn.Linear(2, 3);
    expect(() => observing([{ module: layer, see: () => undefined }], () => callForward(layer, [ones([1, 5])]))).toThrow();
    expect(Object.hasOwn(layer, 'forward')).toBe(false);
  });

  test('lets tidy free what the modules made', async () => {
    const model = new nn.Sequential(new nn.Linear(2, 3), new nn.ReLU());
    const src = ones([4, 2]);
    await collectGarbage();
    const { tensors } = memory();
    noGrad(() => tidy(() => void observing([{ module: model[0], see: () => undefined }], () => callForward(model, [src]))));
    expect(memory().tensors).toBe(tensors);
  });
});

test('the tensors of a result', () => {
  const [a, b] = [ones([1]), ones([2])];
  const shapes = (output: unknown) => outputTensors('test', output).map(({ shape }) => shape);
  expect(shapes(a)).toEqual([[1]]);
  expect(shapes([a, [b, null, 3]])).toEqual([[1], [2]]);
  expect(shapes({ logits: b, hidden: { state: a }, count: 4 })).toEqual([[2], [1]]);
  for (const none of [undefined, 3, 'text', {}, [], Promise.resolve(a)]) {
    expect(codeOf(() => outputTensors('test', none))).toBe('NOT_SUPPORTED');
  }
});

test('copies are float32 in memory of their own', () => {
  const source = tensor([1, 2]);
  const copy = float32Copy(source);
  source.fill_(7);
  expect(copy.tolist()).toEqual([1, 2]);
  expect(float32Copy(tensor([1, 2], { dtype: 'bfloat16' })).dtype).toBe('float32');
  expect(float32Copy(tensor([1, 2], { dtype: 'int64' })).tolist()).toEqual([1, 2]);
  const layer = quantize(new nn.Linear(2, 2), { weights: 'qint8' });
  const weight = (layer as unknown as { qweight: Tensor }).qweight;
  expect(weight.isQuantized).toBe(true);
  expect(float32Copy(weight)).toMatchObject({ isQuantized: false, requiresGrad: false, dtype: 'float32' });
  expect(randn([2]).shape).toEqual([2]);
});
