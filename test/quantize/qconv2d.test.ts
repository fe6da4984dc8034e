import {
  calibration,
  fallbacks,
  freeze,
  manualSeed,
  nn,
  noGrad,
  QTensor,
  quantizationMap,
  quantize,
  randn,
  requantize,
  type Tensor,
} from '../../lib';
import { native } from '../../lib/native';
import type { QuantizedModule } from '../../lib/quantize';

beforeEach(() => {
  manualSeed(1);
});

const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;

describe('QConv2d', () => {
  it.each([
    ['plain', { kernel: 3, options: {} }],
    ['with stride and padding', { kernel: 3, options: { stride: 2, padding: 1 } }],
    ['with two sizes of each', { kernel: [3, 2], options: { stride: [2, 1], padding: [1, 0], dilation: [1, 2] } }],
    ['in groups', { kernel: 3, options: { groups: 2, bias: false } }],
    ['pointwise', { kernel: 1, options: {} }],
    ['of the whole image', { kernel: 9, options: {} }],
  ] as const)('%s is the convolution of the quantized weight', (_, { kernel, options }) => {
    const layer = quantize(new nn.Conv2d(4, 6, kernel, options), { weights: 'qint8' });
    const x = randn([2, 4, 9, 9]);
    const { qweight } = asQuantized(layer);
    expect((qweight as QTensor).scale.shape).toEqual([6, 1, 1, 1]);
    const expected = nn.functional.conv2d(x, qweight.dequantize(), layer.bias, options);
    expect(layer.forward(x).tolist()).toEqual(expected.tolist());
    freeze(layer);
    expect(layer.weight).toBeInstanceOf(QTensor);
    expect(layer.forward(x).tolist()).toEqual(expected.tolist());
  });

  it('multiplies floats by its codes as they are, with the same bits for one image and for many', () => {
    const layer = quantize(new nn.Conv2d(5, 17, 3, { padding: 1 }), { weights: 'qint8' });
    freeze(layer);
    const images = randn([40, 5, 7, 9]);
    fallbacks({ reset: true });
    const all = noGrad(() => layer.forward(images));
    for (const i of [0, 20, 39]) {
      const one = noGrad(() => layer.forward(images.slice(0, i, i + 1)));
      expect(one.tolist()).toEqual(all.slice(0, i, i + 1).tolist());
    }
    expect(fallbacks()).toEqual({});
  });

  it('quantizes its output, not its input', () => {
    const layer = quantize(new nn.Conv2d(2, 3, 3), { weights: 'qint8', activations: 'qint8' });
    const x = randn([2, 2, 6, 6]);
    const float = layer.forward(x);
    calibration(() => layer.forward(x), { streamline: false });
    const y = layer.forward(x);
    expect(y).toBeInstanceOf(QTensor);
    const { output_scale, input_scale } = asQuantized(layer);
    expect(y.dequantize().allclose(float, { atol: output_scale.item() * 0.51 })).toBe(true);
    // Recorded all the same, as in the files of the original.
    expect(input_scale.item()).toBeCloseTo(x.absmax().item() / 127, 6);
  });

  it('is tuned through its quantized weight', () => {
    const layer = quantize(new nn.Conv2d(2, 3, 3), { weights: 'qint8' });
    const x = randn([2, 2, 6, 6]);
    const gradient = randn([2, 3, 4, 4]);
    layer.forward(x).backward(gradient);
    const plain = new nn.Conv2d(2, 3, 3);
    plain.weight = new nn.Parameter(asQuantized(layer).qweight.dequantize());
    plain.forward(x).backward(gradient);
    expect(layer.weight.grad?.tolist()).toEqual(plain.weight.grad?.tolist());
  });
});

describe('QConv2d with integer inputs', () => {
  const options = { weights: 'qint8', activations: 'qint8', integerConvs: true } as const;

  function calibrated(layer: nn.Module, x: Tensor): nn.Module {
    const quantized = quantize(layer, options);
    calibration(() => noGrad(() => void quantized.forward(x)));
    return quantized;
  }

  it.each([
    ['plain', 5, {}],
    ['in groups', 6, { groups: 2, stride: 2, padding: 1 }],
    ['depthwise', 6, { groups: 6, padding: 1 }],
  ])('%s is the convolution of the quantized input and weight', (_, channels, window) => {
    const x = randn([2, channels, 9, 17]);
    const layer = calibrated(new nn.Conv2d(channels, 6, 3, window), x) as nn.Conv2d;
    const { input_scale, qweight } = asQuantized(layer);
    const rounded = x.div(input_scale).round().clamp(-128, 127).mul(input_scale);
    const expected = nn.functional.conv2d(rounded, qweight.dequantize(), layer.bias, window);
    const before = noGrad(() => layer.forward(x));
    expect(before.allclose(expected, { atol: 1e-5 })).toBe(true);
    freeze(layer);
    // Depthwise weights stay as they are.
    expect(native.isPacked((layer.weight as QTensor).stored.codes.native)).toBe(channels / (layer.groups || 1) > 1);
    // Freezing changes no bit of integer sums.
    expect(noGrad(() => layer.forward(x)).equal(before)).toBe(true);
  });

  it('gives the bits of its steps taken one by one, to codes for the next convolution, too', () => {
    const x = randn([2, 3, 8, 16]);
    const [first, second, norm] = [new nn.Conv2d(3, 7, 3, { padding: 1 }), new nn.Conv2d(7, 5, 3), new nn.BatchNorm2d(7).eval()];
    noGrad(() => norm.running_mean!.copy_(randn([7])));
    const model = quantize(new nn.Sequential(first, norm, new nn.ReLU(), second), options);
    noGrad(() => calibration(() => void model.forward(x)));
    freeze(model);
    const [conv1, , , conv2] = model.children() as unknown as [nn.Conv2d, nn.Module, nn.Module, nn.Conv2d];
    noGrad(() => {
      const expected = nn.functional.relu(norm.forward(conv1.forward(x)));
      expect(conv1.forwardThen(x, { norm, relu: true }).equal(expected)).toBe(true);
      const codes = conv1.forwardThen(x, { norm, relu: true, reader: conv2 });
      expect(codes).toBeInstanceOf(QTensor);
      expect(conv2.forward(codes).equal(conv2.forward(expected))).toBe(true);
    });
  });

  it('lets a calibration see what lies between', () => {
    const x = randn([2, 3, 8, 8]);
    const norm = new nn.BatchNorm2d(4).eval();
    const conv = quantize(new nn.Conv2d(3, 4, 3), options);
    noGrad(() => calibration(() => void conv.forwardThen(x, { norm })));
    const { calibrated: sides } = asQuantized(conv);
    expect(sides).toEqual({ input: true, output: true });
  });

  it('is saved in the map and loads as it was', () => {
    const x = randn([2, 3, 8, 8]);
    const layer = calibrated(new nn.Sequential(new nn.Conv2d(3, 4, 3)), x);
    freeze(layer);
    const map = quantizationMap(layer);
    expect({ ...map }).toEqual({ '0': { weights: 'qint8', activations: 'qint8', inputs: 'qint8' } });
    const { model } = requantize(new nn.Sequential(new nn.Conv2d(3, 4, 3)), layer.stateDict(), map);
    noGrad(() => expect(model.forward(x).equal(layer.forward(x))).toBe(true));
    // The original's map knows no inputs, and its convolutions compute in float.
    const theirs = requantize(new nn.Sequential(new nn.Conv2d(3, 4, 3)), layer.stateDict(), {
      '0': { weights: 'qint8', activations: 'qint8' },
    }).model;
    noGrad(() => expect(theirs.forward(x).equal(layer.forward(x))).toBe(false));
  });

  it('is tuned through both', () => {
    const x = randn([2, 3, 8, 8]);
    x.requiresGrad = true;
    const layer = quantize(new nn.Conv2d(3, 4, 3), options);
    calibration(() => noGrad(() => void layer.forward(x)));
    layer.forward(x).sum().backward();
    expect(layer.weight.grad!.absmax().item()).toBeGreaterThan(0);
    expect(x.grad!.absmax().item()).toBeGreaterThan(0);
  });
});
