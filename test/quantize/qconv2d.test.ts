import { calibration, freeze, manualSeed, nn, QTensor, quantize, randn } from '../../lib';
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
