import {
  calibration,
  deviceInfo,
  explain,
  fallbacks,
  freeze,
  loadQuantized,
  nn,
  QModule,
  qint8,
  quantize,
  type QuantizeOptions,
  randn,
  registerQModule,
  saveQuantized,
  type Tensor,
} from '../../lib';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kernelNames } from '../../lib/report/serving';
import { Mlp } from '../harness/mlp';

const kernels = kernelNames(deviceInfo().cpu);
const both = { weights: qint8, activations: qint8 };
const src = randn([4, 8]);
const freezeAll = <M extends nn.Module>(model: M): M => {
  freeze(model);
  return model;
};

test('a model in each step of the workflow', () => {
  const model = new Mlp([8, 6, 5, 3]);
  expect(explain(model).modules).toEqual([]);
  quantize(model, both);
  const common = { type: 'QLinear', weights: 'qint8', activations: 'qint8' };
  const [first] = explain(model).modules;
  expect(first).toEqual({
    ...common,
    name: 'fc1',
    frozen: false,
    packed: false,
    calibrated: { input: false, output: false },
    input: 'float',
    output: 'float',
    op: 'linearWeightOnly',
    kernel: kernels.w8,
    fused: [],
    notes: [
      'the weight is quantized again in every forward until freeze()',
      'the input stays in float: it was never calibrated',
      'the output stays in float: it was never calibrated',
      'not served by linearInt8: the input is float',
    ],
  });
  calibration(() => model.forward(src));
  freeze(model);
  const whole = { ...common, frozen: true, packed: true, calibrated: { input: true, output: true }, input: 'qint8', fused: [] };
  expect(explain(model).modules).toEqual([
    { ...whole, name: 'fc1', output: 'qint8', op: 'linearInt8', kernel: kernels.int8, notes: [] },
    { ...whole, name: 'fc2', output: 'qint8', op: 'linearInt8', kernel: kernels.int8, notes: [] },
    {
      ...whole,
      name: 'fc3',
      output: 'float',
      op: 'linearInt8',
      kernel: kernels.int8,
      notes: ['the output stays in float: no module that takes integers consumes it'],
    },
  ]);
});

test('a loaded model is explained as the frozen one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-explain-'));
  const model = quantize(new Mlp([8, 6, 5, 3]), both);
  calibration(() => model.forward(src));
  freeze(model);
  await saveQuantized(model, folder);
  const loaded = await loadQuantized(new Mlp([8, 6, 5, 3]), folder);
  rmSync(folder, { recursive: true });
  const sides = (one: Mlp) => explain(one).modules.map(({ name, input, output, op, packed }) => [name, input, output, op, packed]);
  expect(sides(loaded)).toEqual(sides(model));
});

test('weights alone, and mixed models', () => {
  const model = new nn.Sequential(new nn.Linear(8, 8), new nn.LayerNorm([8]), new nn.Linear(8, 4));
  quantize(model, { weights: { 0: { weights: 'qint8', activations: 'none' }, 1: { weights: 'none', activations: 'qint8' } } });
  calibration(() => model.forward(src), { streamline: false });
  freeze(model);
  expect(explain(model).modules).toMatchObject([
    { name: '0', weights: 'qint8', activations: 'none', frozen: true, input: 'float', op: 'linearWeightOnly' },
    {
      name: '1',
      weights: 'none',
      activations: 'qint8',
      frozen: false,
      packed: false,
      output: 'qint8',
      op: 'layerNormInt8',
      kernel: null,
      notes: [],
    },
  ]);
});

describe('what a layer runs of what follows it', () => {
  const frozen = (model: nn.Module, options: QuantizeOptions = both) => {
    quantize(model, options);
    calibration(() => model.forward(src));
    freeze(model);
    return explain(model);
  };

  test('an activation, and the quantization for its reader', () => {
    const explanation = frozen(
      new nn.Sequential(new nn.Linear(8, 6), new nn.GELU(), new nn.Linear(6, 6), new nn.ReLU(), new nn.Linear(6, 2)),
    );
    expect(explanation.modules).toMatchObject([
      { name: '0', output: 'qint8', op: 'linearInt8', fused: ['gelu', 'quantize for 2'], notes: [] },
      // Its reader takes the codes of its own output.
      { name: '2', output: 'qint8', fused: ['relu'], notes: [] },
      { name: '4', output: 'float', fused: [] },
    ]);
    expect(String(explanation)).toMatch(/^0 .* linearInt8 +gelu, quantize for 2 +\w+$/m);
  });

  test('nothing before a calibration, after a hook, or for weights alone', () => {
    const build = () => new nn.Sequential(new nn.Linear(8, 6), new nn.GELU(), new nn.Linear(6, 2));
    const fused = (model: nn.Module) => explain(model).modules.map((row) => row.fused);
    expect(fused(quantize(build(), both))).toEqual([[], []]);
    expect(fused(freezeAll(quantize(build(), { weights: 'qint8' })))).toEqual([[], []]);
    const hooked = build();
    frozen(hooked);
    hooked[1].registerForwardHook(() => undefined);
    expect(fused(hooked)).toEqual([[], []]);
  });

  test('norms in float have a row where they quantize', () => {
    const model = new nn.Sequential(new nn.RMSNorm(8), new nn.Linear(8, 6), new nn.LayerNorm(6), new nn.Linear(6, 2));
    expect(frozen(model, { ...both, exclude: '2' }).modules).toMatchObject([
      { name: '0', type: 'RMSNorm', weights: 'none', output: 'qint8', op: 'rmsNormInt8', kernel: null, fused: ['quantize for 1'] },
      { name: '1', output: 'float', fused: [] },
      { name: '2', type: 'LayerNorm', output: 'qint8', op: 'layerNormInt8', fused: ['quantize for 3'] },
      { name: '3', output: 'float' },
    ]);
  });

  test('a convolution with weights of few bits is computed in float', () => {
    const model = quantize(new nn.Sequential(new nn.Conv2d(8, 4, 1)), { weights: 'qint4' });
    freeze(model);
    expect(explain(model).modules).toMatchObject([
      {
        op: 'conv2d',
        kernel: kernels.float32,
        notes: [
          'the weight is dequantized in every forward',
          'not served by conv2dInt8: the weight is qint4, not qint8',
          'not served by conv2dWeightOnly: the weight is qint4, not qint8',
        ],
      },
    ]);
  });
});

test('a class that names no operation is unknown, one that does is not', () => {
  class Scaled extends nn.Module {
    readonly weight = new nn.Linear(8, 4).weight;
    forward(input: Tensor): Tensor {
      return nn.functional.linear(input, this.weight).mul(2);
    }
  }
  class QScaled extends QModule(Scaled) {
    compute(input: Tensor): Tensor {
      return nn.functional.linear(input, this.qweight).mul(2);
    }
  }
  class QNamed extends QScaled {
    override get operation(): string {
      return 'linear';
    }
  }
  const explained = () => explain(quantize(new Scaled(), { weights: 'qint8' })).modules[0];
  registerQModule(Scaled, QScaled);
  expect(explained()).toMatchObject({ name: '', type: 'QScaled', op: null, kernel: null });
  registerQModule(Scaled, QNamed);
  expect(explained()).toMatchObject({ type: 'QNamed', op: 'linearWeightOnly', kernel: kernels.w8 });
});

test('as text, a note that many modules share comes once', () => {
  const layers = Array.from({ length: 6 }, () => new nn.Linear(2, 2));
  const text = String(explain(quantize(new nn.Sequential(...layers), { weights: 'qint8' })));
  expect(text).toContain('until freeze() (0, 1, 2, 3 and 2 more)\n');
});

test('as text: a table, the notes, what fell back, the machine', () => {
  const model = quantize(new nn.Sequential(new nn.Linear(8, 4)), { weights: 'qint8' });
  fallbacks({ reset: true });
  const lines = String(explain(model)).split('\n');
  expect(lines[2]).toMatch(/^0 +QLinear +qint8 +none +no +no +float +float +linearWeightOnly +- +[\w/]+$/);
  expect(lines.slice(3)).toEqual([
    'the weight is quantized again in every forward until freeze() (0)',
    'not served by linearInt8: the input is float (0)',
    'no op ran on dequantized values so far',
    deviceInfo().cpu,
  ]);
  (model[0] as unknown as { qweight: Tensor }).qweight.exp();
  expect(explain(model).fallbacks).toEqual({ exp: 1 });
  expect(String(explain(model))).toContain('ops that ran on dequantized values so far: exp 1 times');
});
