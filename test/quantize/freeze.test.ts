import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import {
  calibration,
  type DType,
  freeze,
  manualSeed,
  memory,
  nn,
  optim,
  QTensor,
  quantize,
  randn,
  synchronize,
  type Tensor,
} from '../../lib';
import { native } from '../../lib/native';
import { isQModule } from '../../lib/quantize';
import { codeOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in live tensors once garbage is gone: finalizers run in later turns of the event loop. */
async function bytesLive(): Promise<number> {
  let bytes = Infinity;
  for (let steady = 0; steady < 3;) {
    collect();
    await nextTurn();
    synchronize();
    const now = memory().bytes;
    steady = now === bytes ? steady + 1 : 0;
    bytes = now;
  }
  return bytes;
}

const mlp = (dtype: DType = 'float32') =>
  new nn.Sequential(new nn.Linear(70, 33, { dtype }), new nn.ReLU(), new nn.Linear(33, 17, { dtype }));
const weightOf = (module: nn.Module) => (module as nn.Linear).weight;

describe('freeze', () => {
  it('replaces float weights by integer ones, packed for the GEMM', () => {
    const model = quantize(mlp(), { weights: 'qint8' });
    const floats = weightOf(model[0]);
    freeze(model);
    const weight = weightOf(model[0]) as QTensor;
    expect(weight).toBeInstanceOf(QTensor);
    expect(weight.role).toBe('parameter');
    expect(native.isPacked(weight.stored.codes.native)).toBe(true);
    expect(model.parameters()).toContain(weight);
    expect(model.parameters()).not.toContain(floats);
    expect(floats.isDisposed).toBe(false);
  });

  it.each(['float32', 'float16', 'bfloat16'] as const)('changes no bit of what %s models compute', (dtype) => {
    for (const activations of [null, 'qint8']) {
      const model = quantize(mlp(dtype), { weights: 'qint8', activations });
      if (activations) calibration(() => model.forward(randn([64, 70], { dtype })));
      for (const rows of [1, 5, 40]) {
        const x = randn([rows, 70], { dtype });
        const unfrozen = model.forward(x).bytesSync();
        const frozen = model.clone();
        freeze(frozen);
        expect(frozen.forward(x).bytesSync()).toEqual(unfrozen);
      }
    }
  });

  it('leaves about a quarter of the memory of the weights', async () => {
    const build = () => new nn.Sequential(new nn.Linear(512, 512), new nn.ReLU(), new nn.Linear(512, 256), new nn.Conv2d(64, 64, 3));
    const before = await bytesLive();
    const model = build();
    const floats = (await bytesLive()) - before;
    quantize(model, { weights: 'qint8' });
    freeze(model);
    const integers = (await bytesLive()) - before;
    expect(floats).toBeGreaterThan(1.6e6);
    expect(integers / floats).toBeLessThan(0.27);
    // Running it leaves nothing more behind.
    model[0].forward(randn([2, 512]));
    expect((await bytesLive()) - before - integers).toBeLessThan(0.01 * floats);
  });

  it('changes nothing the second time, nor modules that are not quantized', () => {
    const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 4));
    quantize(model, { weights: 'qint8', include: '1' });
    freeze(model);
    const weight = weightOf(model[1]);
    freeze(model);
    expect(weightOf(model[1])).toBe(weight);
    expect(weightOf(model[0]).isQuantized).toBe(false);
  });

  it('keeps tied weights tied', () => {
    const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 4), new nn.Linear(4, 4));
    (model[1] as nn.Linear).weight = weightOf(model[0]);
    (model[2] as nn.Linear).weight = weightOf(model[0]);
    quantize(model, { weights: 'qfloat8', include: '2' });
    quantize(model, { weights: 'qint8' });
    freeze(model);
    expect(weightOf(model[1])).toBe(weightOf(model[0]));
    // Of another type, so it cannot be the same tensor.
    expect((weightOf(model[2]) as QTensor).qtype.name).toBe('qfloat8_e4m3fn');
  });

  it('leaves a weight that somebody else uses to him', () => {
    const embedding = new nn.Embedding(10, 4);
    const head = new nn.Linear(4, 10, { bias: false });
    head.weight = embedding.weight;
    const model = new nn.ModuleDict<nn.Module<never, unknown>>({ embedding, head });
    quantize(model, { weights: 'qint8' });
    freeze(model);
    expect(embedding.weight.isQuantized).toBe(false);
    expect((model.get('head') as unknown as nn.Linear).weight.isQuantized).toBe(true);
  });

  it('lets gradients through to what is still trained', () => {
    const model = quantize(mlp(), { weights: 'qint8' });
    freeze(model);
    const x = randn([3, 70], { requiresGrad: true });
    model.forward(x).sum().backward();
    expect(x.grad?.shape).toEqual([3, 70]);
    expect((model[0] as nn.Linear).bias?.grad?.shape).toEqual([33]);
    expect(weightOf(model[0]).grad).toBeNull();
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
    optimizer.step();
    // A frozen weight that is asked for a gradient after all cannot be updated.
    model.requiresGrad_();
    model.forward(x).sum().backward();
    expect(codeOf(() => optimizer.step())).toBe('NOT_SUPPORTED');
  });
});

describe('activations that were never calibrated', () => {
  const warningsOf = (body: () => void): string[] => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation();
    body();
    const messages = warn.mock.calls.map(([message]) => String(message));
    warn.mockRestore();
    return messages;
  };
  const build = () => new nn.Sequential(new nn.Linear(8, 4), new nn.Conv2d(1, 1, 1), new nn.Linear(4, 4));

  it('are reported by name, once, and stay in float', () => {
    const model = quantize(build(), { weights: 'qint8', activations: 'qint8' });
    calibration(() => model[0].forward(randn([2, 8])));
    expect(warningsOf(() => freeze(model))).toEqual([
      'activations of 1, 2 were never calibrated and stay in float; run calibration() before freeze()',
    ]);
    expect(model[2].forward(randn([2, 4])).isQuantized).toBe(false);
  });

  it('are no matter where there are none, or where they were calibrated', () => {
    expect(warningsOf(() => freeze(quantize(build(), { weights: 'qint8' })))).toEqual([]);
    const model = quantize(new nn.Sequential(new nn.Linear(8, 4), new nn.LayerNorm(4)), { weights: 'qint8', activations: 'qint8' });
    calibration(() => model.forward(randn([2, 8])));
    expect(warningsOf(() => freeze(model))).toEqual([]);
    expect(warningsOf(() => freeze(model))).toEqual([]);
    expect(warningsOf(() => freeze(new nn.Linear(4, 4)))).toEqual([]);
  });

  it('of a model that is itself the module are reported by its class', () => {
    const layer = quantize(new nn.Linear(4, 4), { weights: 'qint8', activations: 'qint8' });
    expect(isQModule(layer)).toBe(true);
    expect(warningsOf(() => freeze(layer))[0]).toMatch(/^activations of QLinear were never calibrated/);
  });
});

test('a frozen model may be cloned, moved between dtypes and trained around', () => {
  const model = quantize(mlp(), { weights: 'qint8' });
  freeze(model);
  const copy = model.clone();
  copy.to('bfloat16');
  const types = (tensors: Tensor[]) => tensors.map(({ dtype }) => dtype);
  expect(new Set(types(copy.parameters()))).toEqual(new Set(['bfloat16']));
  expect(new Set(types(model.parameters()))).toEqual(new Set(['float32']));
  const x = randn([3, 70]);
  expect(copy.forward(x.to('bfloat16')).float().allclose(model.forward(x), { atol: 0.05, rtol: 0.05 })).toBe(true);
});
