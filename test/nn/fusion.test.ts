import { calibration, type DType, freeze, manualSeed, nn, noGrad, QTensor, quantize, randn, type Tensor } from '../../lib';
import { Llama, MLP } from '../../lib/models';
import { activationNumbers, commonCodes, forwardThen } from '../../lib/nn/fusion';
import { nativeCalls } from '../harness/called';
import { tokensOf } from '../harness/stories';

beforeEach(() => {
  manualSeed(3);
});

const both = { weights: 'qint8', activations: 'qint8' };

/** A frozen model whose activations were calibrated on an input. */
function frozen<M extends nn.Module>(model: M, src: Tensor, options: object = {}, streamline = true): M {
  const quantized = quantize(model, { ...both, ...options });
  calibration(() => void quantized.forward(src), { streamline });
  freeze(quantized);
  return quantized.eval();
}

/** Values, and codes where there are any. */
const bitsOf = (result: Tensor) => [result.bytesSync(), result instanceof QTensor ? result.codes.bytesSync() : null];

const oneByOne = (layers: Iterable<nn.Module>, src: Tensor): Tensor => [...layers].reduce((current, layer) => layer.forward(current), src);

const activations: Readonly<Record<string, () => nn.Module>> = {
  relu: () => new nn.ReLU(),
  gelu: () => new nn.GELU(),
  geluTanh: () => new nn.GELU({ approximate: 'tanh' }),
  silu: () => new nn.SiLU(),
};

describe.each(Object.keys(activations))('linear, %s, linear', (name) => {
  const build = (dtype: DType) => new nn.Sequential(new nn.Linear(40, 33, { dtype }), activations[name](), new nn.Linear(33, 7, { dtype }));

  it.each(['float32', 'float16', 'bfloat16'] as const)('is two native calls with the bits of the separate ones, in %s', (dtype) => {
    const src = randn([2, 3, 40], { dtype });
    const model = frozen(build(dtype), src);
    const separate = noGrad(() => oneByOne(model, src));
    let fused: Tensor | undefined;
    const calls = nativeCalls(() => (fused = noGrad(() => model.forward(src))));
    expect(bitsOf(fused!)).toEqual(bitsOf(separate));
    expect([calls.linearInt8, calls.unary, calls.quantize]).toEqual([2, undefined, undefined]);
  });

  it('has the same bits where outputs are quantized, and with a gradient', () => {
    const src = randn([5, 40]);
    for (const streamline of [false, true]) {
      const model = frozen(build('float32'), src, {}, streamline);
      const separate = noGrad(() => oneByOne(model, src));
      expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(bitsOf(separate));
      expect(bitsOf(model.forward(src))).toEqual(bitsOf(separate));
    }
  });

  it('takes the activation with it where each token has a scale of its own', () => {
    const src = randn([5, 40]);
    const model = quantize(build('float32'), { ...both, activationScale: 'dynamic' });
    freeze(model);
    const calls = nativeCalls(() => {
      const fused = noGrad(() => model.forward(src));
      expect(bitsOf(fused)).toEqual(bitsOf(noGrad(() => oneByOne(model, src))));
    });
    // Of the fused call and the separate ones.
    expect([calls.linearInt8, calls.unary]).toEqual([4, 1]);
  });

  it('hands codes to a reader with weights of 4 bits', () => {
    const src = randn([5, 40]);
    const map = { 0: both, 2: { weights: 'qint4', activations: 'qint8' } };
    const model = frozen(build('float32'), src, { weights: map });
    expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(bitsOf(noGrad(() => oneByOne(model, src))));
  });
});

describe.each<[string, () => nn.Module]>([
  ['RMSNorm', () => new nn.RMSNorm(40)],
  ['LayerNorm', () => new nn.LayerNorm(40)],
])('%s and the layer that reads it', (_, norm) => {
  const build = (dtype: DType) => new nn.Sequential(norm(), new nn.Linear(40, 7)).to(dtype);
  const calledFor = (model: nn.Module, src: Tensor) => {
    const { quantize: quantizations = 0, rmsNormInt8 = 0, layerNormInt8 = 0 } = nativeCalls(() => noGrad(() => model.forward(src)));
    return [quantizations, rmsNormInt8 + layerNormInt8];
  };

  it.each(['float32', 'float16', 'bfloat16'] as const)('quantizes in its own call, in %s', (dtype) => {
    const src = randn([2, 3, 40], { dtype });
    for (const [streamline, exclude] of [
      [true, []],
      [false, []],
      [true, '0'],
    ] as const) {
      const model = frozen(build(dtype), src, { exclude }, streamline);
      // With a gradient the ops run one by one.
      const separate = model.forward(src);
      expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(bitsOf(separate));
      expect(calledFor(model, src)).toEqual([0, 1]);
    }
  });

  it('stays apart where readers are in float or hooked', () => {
    const src = randn([2, 40]);
    const float = build('float32');
    expect(calledFor(float, src)).toEqual([0, 0]);
    const model = frozen(float, src, { exclude: '0' });
    const seen: boolean[] = [];
    const remove = model[1].registerForwardHook((_module, [input]) => void seen.push(input.isQuantized));
    expect(calledFor(model, src)).toEqual([0, 0]);
    expect(seen).toEqual([false]);
    remove();
    expect(calledFor(model, src)).toEqual([0, 1]);
  });
});

describe('what lies between is seen where somebody looks', () => {
  const src = randn([4, 8]);
  const build = () => frozen(new nn.Sequential(new nn.Linear(8, 8), new nn.GELU(), new nn.Linear(8, 3)), src);

  it.each([0, 1, 2])('by a hook on child %d', (place) => {
    const model = build();
    const expected = bitsOf(noGrad(() => model.forward(src)));
    const seen: unknown[] = [];
    model[place].registerForwardHook((_module, [input], output) => void seen.push([input.isQuantized, output.isQuantized]));
    expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(expected);
    expect(seen).toEqual([[false, false]]);
  });

  it('by a calibration', () => {
    const model = build();
    const calls = nativeCalls(() => calibration(() => void noGrad(() => model.forward(src))));
    expect(calls.unary).toBeGreaterThan(0);
  });

  it('by a subclass', () => {
    class Doubling extends nn.GELU {
      override forward(input: Tensor): Tensor {
        return super.forward(input).mul(2);
      }
    }
    const model = frozen(new nn.Sequential(new nn.Linear(8, 8), new Doubling(), new nn.Linear(8, 3)), src);
    expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(bitsOf(noGrad(() => oneByOne(model, src))));
  });
});

describe('models', () => {
  it('an MLP is one native call a layer', () => {
    const src = randn([5, 24]);
    const model = frozen(new MLP([24, 33, 17, 4]), src);
    const separate = model.forward(src);
    const calls = nativeCalls(() => expect(bitsOf(noGrad(() => model.forward(src)))).toEqual(bitsOf(separate)));
    expect([calls.linearInt8, calls.unary, calls.quantize]).toEqual([3, undefined, undefined]);
  });

  it('the norms of a Llama quantize for what reads them, and its gates are part of their layer', () => {
    const config = { vocab_size: 11, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4 };
    const model = new Llama(config);
    const tokens = tokensOf([3, 1, 4, 1, 5]);
    quantize(model, both);
    calibration(() => void model.forward(tokens));
    freeze(model);
    const separate = model.forward(tokens);
    const calls = nativeCalls(() => expect(bitsOf(noGrad(() => model.forward(tokens)))).toEqual(bitsOf(separate)));
    expect([calls.rmsNormInt8, calls.rmsNorm]).toEqual([5, undefined]);
    // A hook on attention sees the floats that it is given.
    model.layers[0].attention.registerForwardHook((_module, [input]) => {
      expect(input.isQuantized).toBe(false);
      return undefined;
    });
    const hooked = nativeCalls(() => expect(bitsOf(noGrad(() => model.forward(tokens)))).toEqual(bitsOf(separate)));
    expect([hooked.rmsNormInt8, hooked.rmsNorm]).toEqual([4, 1]);
  });

  it('a layer that was replaced by another module runs as it is', () => {
    class Adapter extends nn.Module {
      constructor(readonly base: nn.Linear) {
        super();
      }
      forward(input: Tensor): Tensor {
        return this.base.forward(input).mul(0.5);
      }
    }
    const src = randn([5, 24]);
    const model = new MLP([24, 8, 4]);
    model.setSubmodule('fc1', new Adapter(model.fc1));
    const expected = model.fc2.forward(model.fc1.forward(src).relu());
    expect(bitsOf(model.forward(src))).toEqual(bitsOf(expected));
  });
});

test('readers have common codes where all want the same', () => {
  const src = randn([4, 8]);
  const [a, b, other] = [src, src, src.mul(2)].map((seen) => frozen(new nn.Linear(8, 3), seen));
  expect(commonCodes({ readers: [a, b] })?.scale.item()).toBe(Math.fround(src.absmax().item() / 127));
  expect(commonCodes({ readers: [a, other] })).toBeNull();
  expect(commonCodes({ readers: [a, new nn.Linear(8, 3)] })).toBeNull();
  expect(commonCodes({ readers: [] })).toBeNull();
});

test('without a quantized layer forwardThen is the layer and the activation', () => {
  const layer = new nn.Linear(8, 3);
  const src = randn([4, 8]);
  for (const activation of Object.keys(activationNumbers) as (keyof typeof activationNumbers)[]) {
    expect(bitsOf(forwardThen(layer, src, { activation }))).toEqual(bitsOf(activations[activation]().forward(layer.forward(src))));
  }
  expect(bitsOf(forwardThen(layer, src, {}))).toEqual(bitsOf(layer.forward(src)));
});
