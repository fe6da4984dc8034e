import { setImmediate as nextTurn } from 'node:timers/promises';

import {
  calibration,
  compare,
  freeze,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  type QTensor,
  quantize,
  randn,
  type Tensor,
  tidy,
} from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';
import type { Samples } from '../../lib/report/samples';
import { coded } from '../harness/errors';
import { collectGarbage } from '../harness/garbage';
import { Mlp } from '../harness/mlp';

const both = { weights: 'qint8', activations: 'qint8' } as const;
let float: Mlp;
let quantized: Mlp;
let samples: Tensor[];

beforeEach(() => {
  manualSeed(3);
  float = new Mlp([6, 9, 7, 5]);
  quantized = quantize(float, { ...both, inPlace: false });
  samples = [7, 1, 17].map((rows) => randn([rows, 6]));
  calibration(() => samples.slice(0, 2).forEach((src) => void quantized.forward(src)));
});

type Layer = 'fc1' | 'fc2' | 'fc3';
const layers: readonly Layer[] = ['fc1', 'fc2', 'fc3'];
const numbers = (tensor: Tensor): number[] => [...(tensor.dequantize().dataSync() as Float32Array)];

/** What compare should find, computed step by step from the modules alone. */
function expected() {
  const empty = () => ({ float: [] as number[], alone: [] as number[], accumulated: [] as number[], codes: [] as number[] });
  const seen = { fc1: empty(), fc2: empty(), fc3: empty() };
  noGrad(() => {
    for (const sample of samples) {
      let [a, b] = [sample, sample];
      for (const layer of layers) {
        const input = (quantized[layer] as unknown as QuantizedModule).quantizeInput(b);
        seen[layer].codes.push(...((input as QTensor).codes.dataSync().values() as Iterable<number>));
        seen[layer].alone.push(...numbers(quantized[layer].forward(a)));
        [a, b] = [float[layer].forward(a), quantized[layer].forward(b)];
        seen[layer].float.push(...numbers(a));
        seen[layer].accumulated.push(...numbers(b));
        if (layer !== 'fc3') [a, b] = [a.relu(), b.relu()];
      }
    }
  });
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const deviation = (x: number[], y: number[]) => {
    const differences = x.map((value, i) => value - y[i]);
    return {
      sqnr: 10 * Math.log10(dot(x, x) / dot(differences, differences)),
      cosine: dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)),
      maxError: Math.max(...differences.map(Math.abs)),
    };
  };
  return layers.map((layer) => {
    const { float, alone, accumulated, codes } = seen[layer];
    return {
      name: layer,
      alone: deviation(float, alone),
      accumulated: deviation(float, accumulated),
      saturated: codes.filter((code) => Math.abs(code) >= 127).length / codes.length,
    };
  });
}

const close = ({ sqnr, cosine, maxError }: { sqnr: number; cosine: number; maxError: number }) => ({
  sqnr: expect.closeTo(sqnr, 9) as number,
  cosine: expect.closeTo(cosine, 12) as number,
  maxError,
});

test.each([false, true])('every figure is what the modules give one by one (frozen: %p)', async (frozen) => {
  if (frozen) freeze(quantized);
  const result = await compare(float, quantized, samples);
  const reference = expected();
  expect(result.samples).toBe(3);
  expect(result.modules.map(({ name }) => name)).toEqual(layers);
  for (const [i, { name, alone, accumulated, saturated }] of reference.entries()) {
    expect(result.modules[i]).toMatchObject({ name, type: 'QLinear', weights: 'qint8', activations: 'qint8', calls: 3 });
    expect(result.modules[i].alone).toMatchObject(close(alone));
    expect(result.modules[i].accumulated).toMatchObject(close(accumulated));
    expect(result.modules[i].accumulated!.saturation.input).toBe(saturated);
  }
  expect(result.output).toMatchObject(close(reference[2].accumulated));
  // The third sample was not calibrated with, so that some codes saturate; the output of the last layer stays in float.
  expect(reference.some(({ saturated }) => saturated > 0)).toBe(true);
  expect(result.modules[0].accumulated!.saturation.output).toBeGreaterThan(0);
  expect(result.modules[2].accumulated!.saturation.output).toBeNull();
});

test('the first module has the same error alone and accumulated, later ones do not', async () => {
  const [first, second] = (await compare(float, quantized, samples)).modules;
  expect(first.alone).toEqual(first.accumulated);
  expect(second.alone!.sqnr).not.toBe(second.accumulated!.sqnr);
});

test('weights alone: nothing saturates', async () => {
  const result = await compare(float, quantize(float, { weights: 'qint8', inPlace: false }), samples);
  expect(result.modules.map(({ activations }) => activations)).toEqual(['none', 'none', 'none']);
  for (const { alone } of result.modules) expect(alone).toMatchObject({ saturation: { input: null, output: null } });
});

test.each<[string, () => Samples]>([
  ['argument lists', () => samples.map((src) => [src])],
  ['a generator', () => samples.values()],
  [
    'an async generator',
    async function* () {
      for (const src of samples) {
        await nextTurn();
        yield src;
      }
    },
  ],
])('samples as %s give the same', async (_, others) => {
  expect(await compare(float, quantized, others())).toEqual(await compare(float, quantized, samples));
});

test('include and exclude choose, progress is told', async () => {
  const progress: number[] = [];
  const onProgress = (done: number) => void progress.push(done);
  const result = await compare(float, quantized, samples, { include: 'fc*', exclude: ['*2'], onProgress });
  expect(result.modules.map(({ name }) => name)).toEqual(['fc1', 'fc3']);
  expect(progress).toEqual([1, 2, 3]);
});

test('a model that is itself a quantized module', async () => {
  const layer = new nn.Linear(6, 4);
  const { modules, output } = await compare(layer, quantize(layer.clone(), { weights: 'qint8' }), samples);
  expect(modules.map(({ name }) => name)).toEqual(['']);
  expect(modules[0].accumulated).toEqual(output);
});

test('a module that runs twice counts twice, one that does not run has no figures', async () => {
  class Twice extends nn.Module {
    readonly layer = new nn.Linear(6, 6);
    readonly unused = new nn.Linear(6, 6);
    forward(src: Tensor): Tensor {
      return this.layer.forward(this.layer.forward(src));
    }
  }
  const model = new Twice();
  const { modules } = await compare(model, quantize(model, { weights: 'qint8', inPlace: false }), samples);
  expect(modules).toMatchObject([
    { name: 'layer', calls: 6 },
    { name: 'unused', calls: 0, alone: null, accumulated: null },
  ]);
});

test('values that are overwritten in place later are compared as they were', async () => {
  class Overwriting extends nn.Module {
    readonly layer = new nn.Linear(6, 6);
    forward(src: Tensor): Tensor {
      return this.layer.forward(src).mul_(1000);
    }
  }
  const model = new Overwriting();
  const { modules, output } = await compare(model, quantize(model, { weights: 'qint8', inPlace: false }), samples);
  expect(output.maxError).toBeCloseTo(1000 * modules[0].accumulated!.maxError, 3);
});

test('a model that tidies in its own forward', async () => {
  class Tidying extends nn.Module {
    constructor(readonly inner: Mlp) {
      super();
    }
    forward(src: Tensor): Tensor {
      return tidy(() => this.inner.forward(src));
    }
  }
  const { modules } = await compare(new Tidying(float), new Tidying(quantized), samples);
  const plain = await compare(float, quantized, samples);
  expect(modules.map(({ alone, accumulated }) => [alone, accumulated])).toEqual(
    plain.modules.map(({ alone, accumulated }) => [alone, accumulated]),
  );
});

describe('the models are left as they were:', () => {
  const untouched = (model: nn.Module) => {
    expect(model.modules().filter((module) => Object.hasOwn(module, 'forward'))).toEqual([]);
    expect(model.modules().every(({ training }) => training)).toBe(true);
  };

  test('modes and hooks, also while samples are awaited and after an error', async () => {
    const failing = async function* () {
      yield samples[0];
      await nextTurn();
      untouched(float);
      untouched(quantized);
      yield randn([2, 5]);
    };
    await expect(compare(float, quantized, failing())).rejects.toEqual(coded('SHAPE_MISMATCH'));
    untouched(float);
    untouched(quantized);
  });

  test('scales, whatever calibration is open around or runs beside', async () => {
    const scales = () => JSON.stringify(Object.entries(quantized.stateDict()).map(([name, tensor]) => [name, tensor.tolist()]));
    const before = scales();
    const large = samples.map((src) => src.mul(100));
    const around = await calibration(() => compare(float, quantized, large));
    expect(scales()).toBe(before);
    expect(around).toEqual(await compare(float, quantized, large));

    // A calibration of the same model at the same time sees its own batches, and compare its own samples.
    const [other, twin] = [quantized.clone(), quantized.clone()];
    const calibrate = (model: Mlp) =>
      calibration(async () => {
        for (const src of samples) {
          model.forward(src);
          await nextTurn();
        }
      });
    await Promise.all([calibrate(other), compare(float, other, large)]);
    await calibrate(twin);
    const state = (model: Mlp) => Object.values(model.stateDict()).map((tensor) => tensor.tolist());
    expect(state(other)).toEqual(state(twin));
  });

  test('memory', async () => {
    await compare(float, quantized, samples);
    await collectGarbage();
    const { tensors } = memory();
    await compare(float, quantized, samples);
    expect(memory().tensors).toBe(tensors);
    // Also when the last module fails.
    const narrower = quantize(new Mlp([6, 9, 7, 4]), { weights: 'qint8' });
    // An evaluation keeps the quantized weights of a model that is not frozen.
    noGrad(() => tidy(() => void narrower.forward(ones([1, 6]))));
    await collectGarbage();
    const before = memory().tensors;
    await expect(compare(float, narrower, samples)).rejects.toEqual(coded('SHAPE_MISMATCH'));
    expect(memory().tensors).toBe(before);
  });
});

test('one sample is in memory at a time', async () => {
  const peaks: number[] = [];
  await collectGarbage();
  const { bytes } = memory();
  const stream = function* () {
    for (let i = 0; i < 8; i++) {
      const src = randn([256, 6]);
      yield src;
      src.dispose();
      peaks.push(memory().bytes - bytes);
    }
  };
  await compare(float, quantized, stream());
  expect(peaks).toEqual(Array(8).fill(peaks[0]));
});

test('the event loop turns while it works', async () => {
  let turns = 0;
  let done = false;
  const work = compare(float, quantized, samples).finally(() => (done = true));
  while (!done) {
    await nextTurn();
    turns++;
  }
  await work;
  expect(turns).toBeGreaterThanOrEqual(samples.length);
});

describe('refuses', () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ['a float model second', () => compare(float, float.clone(), samples), /no quantized module/],
    ['a quantized model first', () => compare(quantized, quantized, samples), /float module 'fc1' .* a quantized one/],
    ['models of other names', () => compare(new nn.Sequential(new nn.ReLU()), quantized, samples), /'fc1' .* none/],
    ['no samples', () => compare(float, quantized, []), /at least one sample/],
    ['one tensor', () => compare(float, quantized, samples[0] as unknown as Samples), /pass \[tensor\]/],
  ])('%s', async (_, run, message) => {
    await expect(run()).rejects.toEqual(coded('INVALID_ARGUMENT', message));
  });

  test('outputs of different shapes', async () => {
    const wider = quantize(new Mlp([6, 9, 7, 4]), { weights: 'qint8' });
    await expect(compare(float, wider, samples)).rejects.toEqual(coded('SHAPE_MISMATCH', /'fc3'/));
  });

  test('a module that runs more often in one model', async () => {
    class Repeated extends nn.Module {
      readonly layer = new nn.Linear(6, 6);
      constructor(readonly times: number) {
        super();
      }
      forward(src: Tensor): Tensor {
        return Array.from({ length: this.times }).reduce<Tensor>((hidden) => this.layer.forward(hidden), src);
      }
    }
    const [once, twice] = [1, 2].map((times) => new Repeated(times));
    const message = /'layer' to run as often .* 1 times in float and 2 times quantized/;
    await expect(compare(once, quantize(twice, { weights: 'qint8' }), samples)).rejects.toEqual(coded('INVALID_ARGUMENT', message));
  });
});
