import {
  calibration,
  freeze,
  full,
  manualSeed,
  nn,
  ones,
  optim,
  QLinear,
  QModule,
  QTensor,
  quantize,
  randn,
  tensor,
  type Tensor,
} from '../../lib';
import { isQModule, type QuantizedModule } from '../../lib/quantize';
import { codeOf, errorOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

const both = { weights: 'qint8', activations: 'qint8' } as const;
const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;
const shapes = (state: Readonly<Record<string, Tensor>>) =>
  Object.fromEntries(Object.entries(state).map(([name, { dtype, shape }]) => [name, [dtype, [...shape]]]));

/** A frozen layer of calibrated activations. */
function frozen(build: () => nn.Linear = () => new nn.Linear(8, 4)): nn.Linear {
  const layer = quantize(build(), both);
  const { dtype } = layer.weight;
  calibration(() => layer.forward(randn([16, 8], { dtype })), { streamline: false });
  freeze(layer);
  return layer;
}

describe('a quantized module', () => {
  it('is known as one, and so are its clones', () => {
    const layer = frozen();
    expect([layer, layer.clone(), new QLinear(2, 2)].every(isQModule)).toBe(true);
    expect([new nn.Linear(2, 2), new nn.Sequential(layer)].some(isQModule)).toBe(false);
  });

  it('has a weight that follows the float one until it is frozen', () => {
    const layer = quantize(new nn.Linear(8, 4), { weights: 'qint8' });
    const { frozen: before } = asQuantized(layer);
    const first = asQuantized(layer).qweight.tolist();
    layer.loadStateDict({ weight: randn([4, 8]) }, { strict: false });
    expect(asQuantized(layer).qweight.tolist()).not.toEqual(first);
    freeze(layer);
    expect([before, asQuantized(layer).frozen]).toEqual([false, true]);
    expect(asQuantized(layer).qweight).toBe(layer.weight);
  });

  it('says which op it computes, and what its sides are quantized to as things stand', () => {
    const layer = asQuantized(quantize(new nn.Linear(8, 4), both));
    const convolution = asQuantized(quantize(new nn.Conv2d(1, 1, 1), both));
    const norm = asQuantized(quantize(new nn.LayerNorm([8]), both));
    expect([layer, convolution, norm].map(({ operation }) => operation)).toEqual(['linear', 'conv2d', 'layerNorm']);
    const sides = () => [layer.sides.input?.name, layer.sides.output?.name];
    const src = randn([2, 8]);
    expect(sides()).toEqual([undefined, undefined]);
    expect(layer.quantizeInput(src)).toBe(src);
    calibration(() => layer.forward(src));
    expect(sides()).toEqual(['qint8', undefined]);
    expect(layer.quantizeInput(src)).toBeInstanceOf(QTensor);
    calibration(() => layer.forward(src), { streamline: false });
    expect(sides()).toEqual(['qint8', 'qint8']);
  });

  it('without a weight says so when it is asked for one', () => {
    class Scale extends nn.Module {
      forward(src: Tensor): Tensor {
        return src.mul(2);
      }
    }
    class QScale extends QModule(Scale) {
      compute(input: Tensor): Tensor {
        return input.mul(2);
      }
    }
    const layer = QScale.from(new Scale(), { weights: null, activations: null, optimizer: null }) as QuantizedModule;
    expect(codeOf(() => layer.qweight)).toBe('INVALID_ARGUMENT');
    expect(layer.forward(tensor([1, 2])).tolist()).toEqual([2, 4]);
    expect(layer.input_scale.dtype).toBe('float32');
  });

  it('calls hooks like any module, with the quantized output', () => {
    const layer = frozen();
    const seen: Tensor[] = [];
    const remove = layer.registerForwardHook((_, inputs, output) => void seen.push(...inputs, output));
    const x = randn([2, 8]);
    layer.forward(x);
    remove();
    layer.forward(x);
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe(x);
    expect(seen[1]).toBeInstanceOf(QTensor);
  });

  it('works inside tidy and Sequential, which free what is between', () => {
    const model = quantize(new nn.Sequential(new nn.Linear(8, 8), new nn.ReLU(), new nn.Linear(8, 4)), both);
    const x = randn([4, 8]);
    calibration(() => model.forward(x), { streamline: false });
    freeze(model);
    const first = model.forward(x).tolist();
    expect(model.forward(x).tolist()).toEqual(first);
    expect(asQuantized(model[2]).output_scale.isDisposed).toBe(false);
  });
});

describe('its state', () => {
  it('is float until it is frozen', () => {
    const layer = quantize(new nn.Linear(8, 4), both);
    expect(shapes(layer.stateDict())).toEqual({
      weight: ['float32', [4, 8]],
      bias: ['float32', [4]],
      input_scale: ['float32', []],
      output_scale: ['float32', []],
    });
  });

  it.each(['float32', 'float16', 'bfloat16'] as const)('is integers and scales afterwards (%s)', (dtype) => {
    expect(shapes(frozen(() => new nn.Linear(8, 4, { dtype })).stateDict())).toEqual({
      'weight._data': ['int8', [4, 8]],
      'weight._scale': [dtype, [4, 1]],
      bias: [dtype, [4]],
      input_scale: [dtype, []],
      output_scale: [dtype, []],
    });
  });

  it('says 1 for scales that are not in use', () => {
    const layer = frozen();
    expect(layer.stateDict().output_scale.item()).toBe(asQuantized(layer).output_scale.item());
    asQuantized(layer).outputQuantized = false;
    expect(layer.stateDict().output_scale.item()).toBe(1);
    expect(layer.stateDict().input_scale.item()).toBe(asQuantized(layer).input_scale.item());
    const never = quantize(new nn.Linear(8, 4), both).stateDict();
    expect([never.input_scale.item(), never.output_scale.item()]).toEqual([1, 1]);
  });

  it.each([
    ['float32', 1 + 2 ** -23],
    ['float16', 1 + 2 ** -10],
    ['bfloat16', 1 + 2 ** -7],
  ] as const)('says the next number for a calibrated scale of exactly 1 (%s)', (dtype, next) => {
    const layer = quantize(new nn.Linear(2, 2, { dtype }), both);
    calibration(() => layer.forward(tensor([[127, 1]], { dtype })));
    expect(asQuantized(layer).input_scale.item()).toBe(1);
    const saved = layer.stateDict();
    expect(saved.input_scale.dtype).toBe(dtype);
    expect(saved.input_scale.float().item()).toBe(next);
    const other = quantize(new nn.Linear(2, 2, { dtype }), both);
    other.loadStateDict(saved);
    expect(asQuantized(other).calibrated.input).toBe(true);
  });

  it('loads into a module that is not frozen, and into one that is', () => {
    const state = frozen().stateDict();
    for (const layer of [quantize(new nn.Linear(8, 4), both), frozen()]) {
      layer.loadStateDict(state);
      expect(asQuantized(layer)).toMatchObject({ frozen: true, calibrated: { input: true, output: true }, outputQuantized: true });
      expect(Object.values(layer.stateDict()).map((part) => part.tolist())).toEqual(Object.values(state).map((part) => part.tolist()));
    }
  });

  it('shares no memory with what it was loaded from', () => {
    for (const outFeatures of [4, 1]) {
      const made = () => new nn.Linear(8, outFeatures);
      const state = frozen(made).stateDict();
      const layer = quantize(made(), both);
      layer.loadStateDict(state);
      const expected = asQuantized(layer).qweight.tolist();
      for (const part of Object.values(state)) part.fill_(3);
      expect(asQuantized(layer).qweight.tolist()).toEqual(expected);
    }
    const conv = quantize(new nn.Conv2d(2, 2, 3), { weights: 'qint8' });
    freeze(conv);
    const state = conv.stateDict();
    const other = quantize(new nn.Conv2d(2, 2, 3), { weights: 'qint8' });
    other.loadStateDict(state);
    const expected = other.weight.tolist();
    state['weight._data'].fill_(3);
    expect(other.weight.tolist()).toEqual(expected);
  });

  it('takes the dtype of the module, or with `assign` that of the file', () => {
    const state = frozen().stateDict();
    const copied = quantize(new nn.Linear(8, 4, { dtype: 'bfloat16' }), both);
    copied.loadStateDict(state);
    expect(new Set([copied.weight, copied.bias, asQuantized(copied).input_scale].map((part) => part?.dtype))).toEqual(
      new Set(['bfloat16']),
    );
    expect(copied.forward(randn([2, 8], { dtype: 'bfloat16' })).dtype).toBe('bfloat16');
    const assigned = quantize(new nn.Linear(8, 4, { dtype: 'bfloat16' }), both);
    assigned.loadStateDict(state, { assign: true });
    expect(assigned.weight.dtype).toBe('float32');
    expect(assigned.forward(randn([2, 8])).dtype).toBe('float32');
  });

  it('may be float again: a frozen module thaws', () => {
    const layer = frozen();
    const float = new nn.Linear(8, 4);
    layer.loadStateDict(float.stateDict(), { strict: false });
    expect(asQuantized(layer).frozen).toBe(false);
    expect(layer.weight.tolist()).toEqual(float.weight.tolist());
    expect(layer.weight.requiresGrad).toBe(true);
    // What the state dict does not say stays.
    expect(asQuantized(layer).calibrated).toEqual({ input: true, output: true });
    layer
      .forward(randn([2, 8]))
      .sum()
      .backward();
    expect(layer.weight.grad?.shape).toEqual([4, 8]);
  });

  it('reports missing parts by name', () => {
    const { 'weight._scale': scale, ...rest } = frozen().stateDict();
    expect(scale.shape).toEqual([4, 1]);
    const layer = quantize(new nn.Linear(8, 4), both);
    const before = layer.weight;
    expect(errorOf(() => layer.loadStateDict(rest)).message).toMatch(/missing keys: weight\._scale/);
    expect(layer.loadStateDict(rest, { strict: false })).toEqual({ missingKeys: ['weight._scale'], unexpectedKeys: [] });
    expect(layer.weight).toBe(before);
  });

  it.each([
    ['codes of another shape', { 'weight._data': ones([4, 9], { dtype: 'int8' }) }],
    ['codes of another type', { 'weight._data': ones([4, 8]) }],
    ['a scale of another shape', { 'weight._scale': ones([8, 1]) }],
    ['an input scale that is no number', { input_scale: ones([4]) }],
    ['an input scale of NaN', { input_scale: tensor(NaN) }],
    ['a negative output scale', { output_scale: tensor(-1) }],
    ['an infinite output scale', { output_scale: tensor(Infinity) }],
  ])('refuses %s, and changes nothing', (_, wrong) => {
    const layer = quantize(new nn.Linear(8, 4), both);
    const before = layer.stateDict();
    const error = errorOf(() => layer.loadStateDict({ ...frozen().stateDict(), ...wrong }, { strict: false }));
    expect(error.code).toBe('STATE_DICT');
    expect(error.message).toContain(Object.keys(wrong)[0]);
    expect(Object.entries(layer.stateDict()).map(([name, part]) => [name, part.tolist()])).toEqual(
      Object.entries(before).map(([name, part]) => [name, part.tolist()]),
    );
  });

  it('with an input scale of 0, as the original writes after zeros, is uncalibrated', () => {
    const layer = quantize(new nn.Linear(8, 4), both);
    layer.loadStateDict({ ...frozen().stateDict(), input_scale: tensor(0) });
    expect(asQuantized(layer).calibrated).toEqual({ input: false, output: true });
  });
});

describe('tuning', () => {
  it('lowers the loss of a quantized model', () => {
    const model = quantize(new nn.Sequential(new nn.Linear(8, 32), new nn.ReLU(), new nn.Linear(32, 3)), both);
    const x = randn([64, 8]);
    const target = x.slice(1, 0, 3).argmax(1);
    calibration(() => model.forward(x));
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) {
      optimizer.zeroGrad();
      const loss = nn.functional.crossEntropy(model.forward(x).dequantize(), target);
      losses.push(loss.item());
      loss.backward();
      optimizer.step();
    }
    expect(losses[59]).toBeLessThan(0.5 * losses[0]);
    const tuned = nn.functional.crossEntropy(model.forward(x).dequantize(), target).item();
    freeze(model);
    expect(nn.functional.crossEntropy(model.forward(x).dequantize(), target).item()).toBe(tuned);
  });

  it('gives the gradients of the quantized weight to the float one', () => {
    const layer = quantize(new nn.Linear(8, 4), { weights: 'qint8' });
    const x = randn([5, 8], { requiresGrad: true });
    const gradient = randn([5, 4]);
    const weight = asQuantized(layer).qweight.dequantize();
    layer.forward(x).backward(gradient);
    expect(x.grad?.allclose(gradient.matmul(weight), { atol: 1e-5 })).toBe(true);
    expect(layer.weight.grad?.allclose(gradient.t().matmul(x), { atol: 1e-5 })).toBe(true);
  });
});

describe('what is not finite', () => {
  it('in weights and inputs never becomes NaN by surprise', () => {
    const float = new nn.Linear(8, 4);
    const bad = randn([4, 8]).tolist() as number[][];
    bad[0][0] = NaN;
    bad[1][0] = Infinity;
    bad[2] = bad[2].map(() => 0);
    float.loadStateDict({ weight: tensor(bad), bias: full([4], 0.5) });
    const layer = quantize(float, both);
    const x = randn([16, 8]);
    calibration(() => layer.forward(x), { streamline: false });
    freeze(layer);
    expect(layer.forward(x).dequantize().isfinite().all().item()).toBe(1);
    const strange = tensor([[NaN, Infinity, -Infinity, 1e30, 0, 1, 2, 3]]);
    expect(layer.forward(strange).dequantize().isfinite().all().item()).toBe(1);
    // A calibration that meets them keeps its range.
    const { input_scale } = asQuantized(layer);
    const before = input_scale.item();
    calibration(() => layer.forward(tensor([[NaN, Infinity, -Infinity, 0, 0, 0, 0, 0]])));
    expect(asQuantized(layer).input_scale.item()).toBe(before);
  });
});
