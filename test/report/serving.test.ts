import { calibration, deviceInfo, nn, noGrad, quantize, type QuantizeOptions, randn } from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';
import { kernelNames, serving } from '../../lib/report/serving';
import { nativeCalls } from '../harness/called';

const asQuantized = (module: nn.AnyModule) => module as unknown as QuantizedModule;
const linear = (weights: string | null, activations: string | null, calibrate = true): QuantizedModule => {
  const layer = quantize(new nn.Linear(8, 4), { weights, activations });
  if (calibrate) calibration(() => layer.forward(randn([2, 8])));
  return asQuantized(layer);
};

test.each<[string, QuantizedModule, string, string | null, RegExp[]]>([
  ['int8 on both sides', linear('qint8', 'qint8'), 'linearInt8', 'int8', []],
  ['int8 weights', linear('qint8', null), 'linearWeightOnly', 'w8', [/^linearInt8: the input is float$/]],
  ['not calibrated', linear('qint8', 'qint8', false), 'linearWeightOnly', 'w8', [/^linearInt8: the input is float$/]],
  [
    'float8 weights',
    linear('qfloat8', null),
    'linearBits',
    'bits',
    [
      /^linearInt8: the weight is qfloat8_e4m3fn, not/,
      /^linearWeightOnly/,
      /^linearBitsInt8: the weight is qfloat8_e4m3fn, not qint4 or qint2$/,
    ],
  ],
  [
    'int4 weights',
    linear('qint4', null),
    'linearBits',
    'bits',
    [/^linearInt8/, /^linearWeightOnly/, /^linearBitsInt8: the input is float$/],
  ],
  ['int2 weights, int8 inputs', linear('qint2', 'qint8'), 'linearBitsInt8', 'bits', [/^linearInt8/, /^linearWeightOnly/]],
  [
    'float8 inputs',
    linear('qint8', 'qfloat8'),
    'linear',
    'float32',
    [
      /^linearInt8: the input is qfloat8_e4m3fn, not qint8/,
      /^linearWeightOnly: the input is qfloat8_e4m3fn, not float/,
      /^linearB/,
      /^linearB/,
    ],
  ],
  [
    'activations alone',
    linear(null, 'qint8'),
    'linear',
    'float32',
    [/^linearInt8: the weight is float/, /^linearWeightOnly/, /^linearBitsInt8/, /^linearBits: the weight is float/],
  ],
])('a linear layer, %s', (_, module, op, kernel, refusals) => {
  const service = serving(module)!;
  expect([service.native, service.kernel]).toEqual([op, kernel]);
  expect(service.refusals).toEqual(refusals.map((refusal) => expect.stringMatching(refusal) as string));
});

const convolution = (options: QuantizeOptions): QuantizedModule => {
  const layer = quantize(new nn.Conv2d(8, 4, 3), options);
  calibration(() => layer.forward(randn([1, 8, 5, 5])));
  return asQuantized(layer);
};

const notServed = (weights: string) => ['conv2dInt8', 'conv2dWeightOnly'].map((op) => `${op}: the weight is ${weights}, not qint8`);

test.each<[string, QuantizeOptions, string, string, string[]]>([
  ['integers', { weights: 'qint8', activations: 'qint8', integerConvs: true }, 'conv2dInt8', 'conv', []],
  ['int8 weights', { weights: 'qint8' }, 'conv2dWeightOnly', 'float32', ['conv2dInt8: the input is float']],
  ['int4 weights', { weights: 'qint4' }, 'conv2d', 'float32', notServed('qint4')],
  ['float8 weights', { weights: 'qfloat8' }, 'conv2d', 'float32', notServed('qfloat8_e4m3fn')],
  ['int2 weights, int8 inputs', { weights: 'qint2', activations: 'qint8', integerConvs: true }, 'conv2d', 'float32', notServed('qint2')],
])('a convolution, %s', (_, options, op, kernel, refusals) => {
  expect(serving(convolution(options))).toEqual({ native: op, kernel, refusals });
});

// The list says what serves a module; here is what truly does.
test.each([
  ['linear, int8 on both sides', () => new nn.Linear(8, 4), 'qint8', 'qint8', [2, 8]],
  ['linear, int8 weights', () => new nn.Linear(8, 4), 'qint8', null, [2, 8]],
  ['linear, float8 weights', () => new nn.Linear(8, 4), 'qfloat8', null, [2, 8]],
  ['linear, int4 weights', () => new nn.Linear(8, 4), 'qint4', null, [2, 8]],
  ['linear, int4 weights, int8 inputs', () => new nn.Linear(8, 4), 'qint4', 'qint8', [2, 8]],
  ['linear, int8 weights, float8 inputs', () => new nn.Linear(8, 4), 'qint8', 'qfloat8', [2, 8]],
  ['conv2d, int8 weights', () => new nn.Conv2d(8, 4, 1), 'qint8', null, [1, 8, 3, 3]],
  ['conv2d, int8 on both sides', () => new nn.Conv2d(8, 4, 1), 'qint8', 'qint8', [1, 8, 3, 3]],
  ['conv2d, int4 weights', () => new nn.Conv2d(8, 4, 1), 'qint4', null, [1, 8, 3, 3]],
  ['layer norm', () => new nn.LayerNorm([8]), null, 'qint8', [2, 8]],
] as const)('%s: the native function that runs is the one of the list', (_, make, weights, activations, shape) => {
  const module: nn.Module = quantize(make() as nn.Module, { weights, activations });
  const src = randn([...shape]);
  calibration(() => module.forward(src));
  const { native: op } = serving(asQuantized(module))!;
  // Where no gradient is recorded, as in evaluation.
  expect(Object.keys(nativeCalls(() => noGrad(() => module.forward(src))))).toContain(op);
});

test('the kernels are those of the machine', () => {
  expect(kernelNames('isa=vnni; float32: avx512, w8: vnni/avx512')).toEqual({ float32: 'avx512', w8: 'vnni/avx512' });
  expect(Object.keys(kernelNames(deviceInfo().cpu))).toEqual(expect.arrayContaining(['float32', 'int8', 'w8', 'bits', 'conv']));
});
