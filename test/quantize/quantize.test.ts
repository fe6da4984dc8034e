import {
  AbsmaxOptimizer,
  calibration,
  freeze,
  HqqOptimizer,
  manualSeed,
  nn,
  QConv2d,
  qint8,
  QLayerNorm,
  QLinear,
  QTensor,
  quantize,
  type QuantizeOptions,
  randn,
  type Tensor,
} from '../../lib';
import { isQModule, quantizationMap, type QuantizationMap, type QuantizedModule } from '../../lib/quantize';
import { codeOf, errorOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

class Block extends nn.Module {
  readonly fc1 = new nn.Linear(4, 8);
  readonly fc2 = new nn.Linear(8, 4);

  forward(src: Tensor): Tensor {
    return this.fc2.forward(this.fc1.forward(src).relu());
  }
}

class Net extends nn.Module {
  readonly embed = new nn.Linear(4, 4);
  readonly blocks = new nn.ModuleList([new Block(), new Block()]);
  readonly norm = new nn.LayerNorm(4);
  readonly head = new nn.Linear(4, 2);

  forward(src: Tensor): Tensor {
    let current = this.embed.forward(src);
    for (const block of this.blocks) current = block.forward(current);
    return this.head.forward(this.norm.forward(current));
  }
}
const everyLinear = ['embed', 'blocks.0.fc1', 'blocks.0.fc2', 'blocks.1.fc1', 'blocks.1.fc2', 'head'];
const quantizedNames = (model: nn.Module) =>
  model
    .namedModules()
    .filter(([, module]) => isQModule(module))
    .map(([name]) => name);

describe('quantize', () => {
  it('changes the model in place and gives it back', () => {
    const model = new Net();
    const before = model.head;
    expect(quantize(model, { weights: 'qint8' })).toBe(model);
    expect(quantizedNames(model)).toEqual(everyLinear);
    expect(model.head).toBeInstanceOf(QLinear);
    expect(model.head).toBeInstanceOf(nn.Linear);
    // The parameters are the same objects, so an optimizer made before goes on working.
    expect(model.head.weight).toBe(before.weight);
    expect(model.head.bias).toBe(before.bias);
    expect([model.head.inFeatures, model.head.outFeatures]).toEqual([4, 2]);
  });

  it('leaves the model and quantizes a clone where asked', () => {
    const model = new Net();
    const copy = quantize(model, { weights: 'qint8', inPlace: false });
    expect(quantizedNames(model)).toEqual([]);
    expect(quantizedNames(copy)).toEqual(everyLinear);
    expect(copy.head.weight).not.toBe(model.head.weight);
  });

  it.each([qint8, 'qint8'])('takes a type or its name: %s', (weights) => {
    const model = quantize(new Net(), { weights, activations: weights });
    expect((model.head as unknown as QuantizedModule).quantization).toEqual({
      weights: qint8,
      activations: qint8,
      optimizer: null,
      integerConvs: false,
    });
  });

  it.each([
    [{ include: 'blocks.*' }, everyLinear.slice(1, 5)],
    [{ include: '*fc1' }, ['blocks.0.fc1', 'blocks.1.fc1']],
    [{ include: ['embed', 'head'] }, ['embed', 'head']],
    [{ exclude: 'head' }, everyLinear.slice(0, 5)],
    [{ exclude: ['head', '*.0.*'] }, ['embed', 'blocks.1.fc1', 'blocks.1.fc2']],
    [{ include: 'blocks.*', exclude: '*fc2' }, ['blocks.0.fc1', 'blocks.1.fc1']],
    // A pattern names the modules themselves, not what holds them.
    [{ include: 'blocks' }, []],
    [{ exclude: '*' }, []],
  ])('chooses modules by %j', (patterns, expected) => {
    expect(quantizedNames(quantize(new Net(), { weights: 'qint8', ...patterns }))).toEqual(expected);
  });

  it('gives types layer by layer when it is called more than once', () => {
    const model = new Net();
    quantize(model, { weights: 'qfloat8', include: 'head' });
    quantize(model, { weights: 'qint8', activations: 'qint8' });
    const map = quantizationMap(model);
    expect(map.head).toEqual({ weights: 'qfloat8_e4m3fn', activations: 'none' });
    expect(map.embed).toEqual({ weights: 'qint8', activations: 'qint8' });
    expect(map.norm).toEqual({ weights: 'none', activations: 'qint8' });
  });

  it('changes nothing the second time', () => {
    const model = quantize(new Net(), { weights: 'qint8' });
    const modules = model.modules();
    quantize(model, { weights: 'qint8' });
    quantize(model, { weights: 'qfloat8', activations: 'qint8', exclude: 'norm' });
    expect(model.modules()).toEqual(modules);
  });

  it('takes a map of names', () => {
    const map: QuantizationMap = {
      'blocks.0.fc1': { weights: 'qint8', activations: 'none' },
      head: { weights: 'qfloat8', activations: 'qint8' },
      nobody: { weights: 'qint8', activations: 'none' },
    };
    const model = quantize(new Net(), { weights: map, exclude: 'nobody' });
    expect({ ...quantizationMap(model) }).toEqual({
      'blocks.0.fc1': { weights: 'qint8', activations: 'none' },
      head: { weights: 'qfloat8_e4m3fn', activations: 'qint8' },
    });
    // A module may have any name, those of a type's properties too.
    const odd = new nn.ModuleDict({ qmin: new nn.Linear(2, 2) });
    expect(quantizedNames(quantize(odd, { weights: { qmin: { weights: 'qint8', activations: 'none' } } }))).toEqual(['qmin']);
  });

  describe('refuses a map with names that the model lacks', () => {
    const entry = { weights: 'qint8', activations: 'none' };
    const refused = (names: string[], options: QuantizeOptions = {}) => {
      const model = new Net();
      const map = Object.fromEntries([...names, 'head'].map((name) => [name, entry]));
      const error = errorOf(() => quantize(model, { ...options, weights: map }));
      expect(quantizedNames(model)).toEqual([]);
      expect(error.code).toBe('INVALID_ARGUMENT');
      return error.message;
    };

    it('and tells which, and which ones are near', () => {
      expect(refused(['hed', 'blocks.0.fc3', 'decoder'])).toBe(
        "[quantize] expected a map of names of modules but the model has no 'hed' (near: 'head'), " +
          "'blocks.0.fc3' (near: 'blocks.0.fc1', 'blocks.0.fc2', 'blocks.1.fc1'), 'decoder'; correct them, or leave them out with exclude",
      );
    });

    it('such as those of a model inside another, or around it', () => {
      expect(refused(['model.embed'])).toMatch(/'model.embed' \(near: 'embed'\)/);
      expect(refused(['fc1'])).toMatch(/'fc1' \(near: 'blocks.0.fc1', 'blocks.1.fc1'\)/);
    });

    it('but shows some only where there are many', () => {
      expect(refused(Array.from({ length: 11 }, (_, i) => `unlike any ${i}`))).toMatch(/'unlike any 7' and 3 more;/);
    });

    it('and neither a clone', () => {
      expect(refused(['hed'], { inPlace: false })).toMatch(/'hed'/);
    });

    it('unless include or exclude leave them out', () => {
      const map = { hed: entry, head: entry };
      expect(quantizedNames(quantize(new Net(), { weights: map, exclude: 'h?d' }))).toEqual(['head']);
      expect(quantizedNames(quantize(new Net(), { weights: map, include: 'head' }))).toEqual(['head']);
    });

    it('and takes the other names of shared modules, modules without a quantized form, and quantized ones', () => {
      const shared = new nn.Linear(4, 4);
      const model = new nn.Sequential(new nn.Linear(4, 4), new nn.ReLU(), shared, shared);
      for (let i = 0; i < 2; i++) quantize(model, { weights: { '1': entry, '2': entry, '3': entry } });
      expect([...model].map(isQModule)).toEqual([false, false, true, true]);
    });
  });

  it('replaces a model that is itself such a module', () => {
    const layer = new nn.Linear(4, 2);
    const quantized = quantize(layer, { weights: 'qint8' });
    expect(quantized).toBeInstanceOf(QLinear);
    expect(quantized.weight).toBe(layer.weight);
    expect(quantize(quantized, { weights: 'qint8' })).toBe(quantized);
    expect(quantize(layer, { weights: 'qint8', include: 'fc*' })).toBe(layer);
  });

  it('keeps shared modules shared, under all their names', () => {
    const shared = new nn.Linear(4, 4);
    const model = new nn.Sequential(shared, new nn.ReLU(), shared);
    quantize(model, { weights: 'qint8' });
    expect(model[0]).toBeInstanceOf(QLinear);
    expect(model[2]).toBe(model[0]);
  });

  it('keeps the mode and the training flags', () => {
    const model = new Net().eval();
    model.head.weight.requiresGrad = false;
    quantize(model, { weights: 'qint8' });
    expect([model.head.training, model.head.weight.requiresGrad, model.embed.weight.requiresGrad]).toEqual([false, false, true]);
  });

  it('takes an optimizer of scales', () => {
    const optimizer = new AbsmaxOptimizer();
    const scale = jest.spyOn(optimizer, 'scale');
    const model = quantize(new Net(), { weights: 'qint8', optimizer, include: 'head' });
    expect((model.head as unknown as QuantizedModule).qweight).toBeInstanceOf(QTensor);
    expect(scale).toHaveBeenCalledWith(model.head.weight, qint8, 0);
  });

  it('leaves norms without quantized activations, and convolutions and norms of their class alone', () => {
    const model = new nn.Sequential(
      new nn.LayerNorm(4),
      new nn.Conv2d(1, 2, 3),
      new nn.BatchNorm2d(2),
      new nn.Embedding(3, 4),
      new nn.RMSNorm(4),
    );
    quantize(model, { weights: 'qint8' });
    expect(model[0]).not.toBeInstanceOf(QLayerNorm);
    expect(model[1]).toBeInstanceOf(QConv2d);
    expect([...model].slice(2).some(isQModule)).toBe(false);
  });
});

describe('what quantize refuses, before it changes anything', () => {
  it.each([
    ['an unknown type', { weights: 'int8' }, 'INVALID_ARGUMENT'],
    ['an unknown type of activations', { weights: 'qint8', activations: 'int8' }, 'INVALID_ARGUMENT'],
    ['groups of no size', { weights: 'qint4', groupSize: 0 }, 'INVALID_ARGUMENT'],
    ['groups of part of a value', { weights: 'qint4', groupSize: 1.5 }, 'INVALID_ARGUMENT'],
    ['an optimizer of shifts for 8 bits', { weights: 'qint8', optimizer: new HqqOptimizer() }, 'INVALID_ARGUMENT'],
    ['an optimizer without shifts for 4 bits', { weights: 'qint4', optimizer: new AbsmaxOptimizer() }, 'INVALID_ARGUMENT'],
    ['activations of less than 8 bits', { activations: 'qint4' }, 'NOT_SUPPORTED'],
    ['nothing to do', {}, 'INVALID_ARGUMENT'],
    ["nothing to do in files' words", { weights: 'none', activations: 'none' }, 'INVALID_ARGUMENT'],
    [
      'a map whose last entry is wrong',
      { weights: { embed: { weights: 'qint8', activations: 'none' }, head: { weights: 'int8', activations: 'none' } } },
      'INVALID_ARGUMENT',
    ],
  ] as const)('%s', (_, options, code) => {
    const model = new Net();
    expect(codeOf(() => quantize(model, options))).toBe(code);
    expect(quantizedNames(model)).toEqual([]);
  });
});

test('hooks of the user stay with the modules that were replaced', () => {
  const model = new Net();
  let calls = 0;
  model.head.registerForwardHook(() => void calls++);
  model.registerForwardHook(() => void calls++);
  quantize(model, { weights: 'qint8' });
  expect(model.head).toBeInstanceOf(QLinear);
  model.forward(randn([2, 4]));
  expect(calls).toBe(1);
});

test.each([
  ['no model', () => quantize(null as never, { weights: 'qint8' })],
  ['an object', () => quantize({} as never, { weights: 'qint8' })],
  ['no options', () => quantize(new nn.Linear(2, 2), undefined as never)],
  ['nothing to freeze', () => freeze(null as never)],
  ['nothing to calibrate', () => void calibration(null as never)],
])('%s is refused', (_, call) => {
  expect(codeOf(call)).toBe('INVALID_ARGUMENT');
});
