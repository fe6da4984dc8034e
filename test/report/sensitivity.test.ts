import { setImmediate as nextTurn } from 'node:timers/promises';

import {
  AbsmaxOptimizer,
  calibration,
  freeze,
  isGradEnabled,
  manualSeed,
  memory,
  nn,
  noGrad,
  qint8,
  quantizationMap,
  quantize,
  randn,
  sensitivity,
  type SensitivityProgress,
  type Tensor,
} from '../../lib';
import { coded } from '../harness/errors';
import { collectGarbage } from '../harness/garbage';
import { Mlp } from '../harness/mlp';

let model: Mlp;
let samples: Tensor[];
let target: Tensor;

/** Mean squared error to the float model. */
const metric = (candidate: nn.Module): number => nn.functional.mseLoss(candidate.forward(samples[0]).dequantize(), target).item();

beforeEach(() => {
  manualSeed(5);
  model = new Mlp([8, 16, 12, 4]);
  samples = [randn([32, 8]), randn([16, 8])];
  target = noGrad(() => model.forward(samples[0]).detach());
});

test('each trial is the float model with one module quantized', async () => {
  const result = await sensitivity(model, metric);
  expect(result).toMatchObject({ baseline: 0, goal: 'minimize', floatBytes: 4 * (8 * 16 + 16 + 16 * 12 + 12 + 12 * 4 + 4) });
  expect(result.trials.map(({ name }) => name)).toEqual(['fc1', 'fc2', 'fc3']);
  for (const { name, type, qtypes, metric: value, loss, savedBytes } of result.trials) {
    const alone = model.clone().eval();
    quantize(alone, { weights: 'qint8', include: name });
    expect([value, loss]).toEqual([metric(alone), metric(alone)]);
    expect(value).toBeGreaterThan(0);
    expect([type, qtypes]).toEqual(['QLinear', { weights: 'qint8', activations: 'none' }]);
    // int8 codes, a scale for each output, and two scales of activations.
    const [outputs, inputs] = (alone as unknown as Record<string, nn.Linear>)[name].weight.shape;
    expect(savedBytes).toBe(4 * outputs * inputs - (outputs * inputs + 4 * outputs + 8));
  }
});

test('several qtypes, and activations that are calibrated on the samples', async () => {
  const progress: SensitivityProgress[] = [];
  const options = {
    weights: ['qint8', 'qfloat8_e5m2'],
    activations: qint8,
    onProgress: (one: SensitivityProgress) => void progress.push(one),
  };
  const { trials } = await sensitivity(model, metric, samples, options);
  expect(trials.map(({ name, qtypes }) => [name, qtypes.weights, qtypes.activations])).toEqual(
    ['qint8', 'qfloat8_e5m2'].flatMap((weights) => ['fc1', 'fc2', 'fc3'].map((name) => [name, weights, 'qint8'])),
  );
  expect(progress.map(({ done, total, trial }) => [done, total, trial])).toEqual(trials.map((trial, i) => [i + 1, 6, trial]));
  const alone = model.clone().eval();
  quantize(alone, { weights: 'qint8', activations: 'qint8', include: 'fc2' });
  calibration(() => noGrad(() => samples.forEach((src) => void alone.forward(src))));
  freeze(alone);
  expect(trials[1].metric).toBe(metric(alone));
  // Two bits of a mantissa lose more than seven bits.
  for (const i of [0, 1, 2]) expect(trials[i + 3].loss).toBeGreaterThan(trials[i].loss);
});

test('a module without a weight is tried once', async () => {
  const normed = new nn.Sequential(new nn.LayerNorm([8]), new nn.Linear(8, 4));
  const options = { weights: ['qint8', 'qfloat8'], activations: 'qint8' };
  const { trials } = await sensitivity(normed, () => 1, samples, options);
  expect(trials.map(({ name, qtypes }) => `${name} ${qtypes.weights}`)).toEqual(['0 none', '1 qint8', '1 qfloat8_e4m3fn']);
});

test('the goal decides what a loss is, and NaN is an infinite one', async () => {
  const values = [0.9, 0.8, 0.95, NaN];
  const accuracy = async () => {
    await nextTurn();
    return values.shift()!;
  };
  const { baseline, trials } = await sensitivity(model, accuracy, [], { goal: 'maximize' });
  expect(baseline).toBe(0.9);
  expect(trials.map(({ loss }) => loss)).toEqual([expect.closeTo(0.1, 12), expect.closeTo(-0.05, 12), Infinity]);
});

test('include, exclude and other options of quantize hold', async () => {
  let calls = 0;
  class Counting extends AbsmaxOptimizer {
    override scale(...args: Parameters<AbsmaxOptimizer['scale']>): Tensor {
      calls++;
      return super.scale(...args);
    }
  }
  const { trials } = await sensitivity(model, metric, [], { include: 'fc?', exclude: 'fc2', optimizer: new Counting() });
  expect(trials.map(({ name }) => name)).toEqual(['fc1', 'fc3']);
  expect(calls).toBeGreaterThanOrEqual(2);
});

test('names with pattern characters and a model that is a module itself', async () => {
  const dictionary = new nn.ModuleDict({ 'a*': new nn.Linear(2, 2), ab: new nn.Linear(2, 2), '[x]': new nn.Linear(2, 2) });
  const seen: string[][] = [];
  const look = (candidate: nn.AnyModule) => seen.push(Object.keys(quantizationMap(candidate)));
  await sensitivity(dictionary, look);
  expect(seen).toEqual([[], ['a*'], ['ab'], ['[x]']]);
  const { trials } = await sensitivity(new nn.Linear(8, 4), metric);
  expect(trials).toMatchObject([{ name: '', type: 'QLinear', savedBytes: 4 * 32 - (32 + 16 + 8) }]);
});

test('the metric sees a frozen model in eval mode, and records no gradients', async () => {
  const seen: unknown[] = [];
  await sensitivity(model, (candidate) => {
    seen.push(
      candidate.training,
      isGradEnabled(),
      candidate === model,
      candidate.parameters().some((one) => one.isQuantized),
    );
    return 0;
  });
  expect(seen).toEqual([false, false, false, false, ...[1, 2, 3].flatMap(() => [false, false, false, true])]);
});

test('the model stays as it was, and the copies are freed', async () => {
  const before = JSON.stringify(Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.tolist()]));
  const run = () => sensitivity(model, () => 1, samples, { activations: 'qint8' });
  await calibration(run);
  await collectGarbage();
  const { tensors } = memory();
  await run();
  expect(memory().tensors).toBeLessThanOrEqual(tensors);
  expect(JSON.stringify(Object.entries(model.stateDict()).map(([name, tensor]) => [name, tensor.tolist()]))).toBe(before);
  expect(model.training).toBe(true);
  expect(quantizationMap(model)).toEqual({});
});

describe('refuses', () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['a model without anything to quantize', () => sensitivity(new nn.ReLU(), () => 1), /no module to quantize/],
    ['a quantized model', () => sensitivity(quantize(model, { weights: 'qint8' }), () => 1), /expected a float model/],
    ['a metric that is no number', () => sensitivity(model, (() => target) as unknown as () => number), /metric to give a number/],
    ['a metric of the float model that is not finite', () => sensitivity(model, () => NaN), /finite metric .* NaN/],
    ['activations without samples', () => sensitivity(model, () => 1, [], { activations: 'qint8' }), /expected samples but got none/],
    ['a generator, which ends', () => sensitivity(model, () => 1, samples.values(), { activations: 'qint8' }), /new iterable/],
    ['a qtype that does not exist', () => sensitivity(model, () => 1, [], { weights: ['qint8', 'qint9'] }), /qint9/],
  ])('%s', async (_, run, message) => {
    await expect(run()).rejects.toEqual(coded('INVALID_ARGUMENT', message));
  });

  test('an error of the metric comes through', async () => {
    await expect(sensitivity(model, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
  });
});
