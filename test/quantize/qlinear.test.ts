import {
  calibration,
  type DType,
  freeze,
  manualSeed,
  nn,
  noGrad,
  QLinear,
  QTensor,
  quantize,
  quantizeActivation,
  randn,
  tensor,
} from '../../lib';
import { native } from '../../lib/native';
import type { QuantizedModule } from '../../lib/quantize';

beforeEach(() => {
  manualSeed(1);
});

const build = (options: { bias?: boolean; dtype?: DType } = {}) => new nn.Linear(40, 6, options);
const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;

describe('QLinear', () => {
  it.each([true, false])('with weights alone is the layer of the quantized weight (bias: %s)', (bias) => {
    const layer = quantize(build({ bias }), { weights: 'qint8' });
    const x = randn([5, 40]);
    const { qweight } = asQuantized(layer);
    expect(qweight).toBeInstanceOf(QTensor);
    const expected = nn.functional.linear(x, qweight.dequantize(), layer.bias);
    expect(layer.forward(x).allclose(expected, { atol: 1e-5 })).toBe(true);
  });

  it('quantizes its input by the calibrated scale, and its output', () => {
    const layer = quantize(build(), { weights: 'qint8', activations: 'qint8' });
    const x = randn([5, 40]);
    calibration(() => layer.forward(x), { streamline: false });
    const { input_scale, output_scale, qweight } = asQuantized(layer);
    const y = layer.forward(x) as QTensor;
    expect(y.scale.item()).toBe(output_scale.item());
    const qx = quantizeActivation(x, { qtype: 'qint8', scale: input_scale });
    const expected = nn.functional.linear(qx.dequantize(), qweight.dequantize(), layer.bias);
    expect(y.dequantize().allclose(expected, { atol: output_scale.item() * 0.51 })).toBe(true);
  });

  it('takes integers as they come', () => {
    const layer = quantize(build(), { weights: 'qint8', activations: 'qint8' });
    calibration(() => layer.forward(randn([5, 40])));
    const qx = quantizeActivation(randn([5, 40]), { qtype: 'qint8', scale: tensor(0.1) });
    const expected = nn.functional.linear(qx.dequantize(), asQuantized(layer).qweight.dequantize(), layer.bias);
    expect(layer.forward(qx).dequantize().allclose(expected, { atol: 1e-4 })).toBe(true);
  });

  it('quantizes activations alone, under float weights', () => {
    const layer = quantize(build(), { activations: 'qint8' });
    const x = randn([5, 40]);
    calibration(() => layer.forward(x));
    const { input_scale } = asQuantized(layer);
    const qx = quantizeActivation(x, { qtype: 'qint8', scale: input_scale });
    freeze(layer);
    expect(layer.weight.isQuantized).toBe(false);
    expect(layer.forward(x).allclose(nn.functional.linear(qx.dequantize(), layer.weight, layer.bias), { atol: 1e-5 })).toBe(true);
  });

  it.each(['float16', 'bfloat16'] as const)('works in %s', (dtype) => {
    const layer = quantize(build({ dtype }), { weights: 'qint8', activations: 'qint8' });
    const x = randn([5, 40], { dtype });
    const expected = layer.forward(x).float();
    calibration(() => layer.forward(x), { streamline: false });
    freeze(layer);
    const y = layer.forward(x);
    expect([y.isQuantized, y.dtype]).toEqual([true, dtype]);
    expect(y.float().allclose(expected, { atol: 0.1 })).toBe(true);
  });

  it('says what it is', () => {
    const layer = quantize(build(), { weights: 'qint8', activations: 'qfloat8' });
    expect(String(layer)).toBe('QLinear(inFeatures=40, outFeatures=6, bias=true, weights=qint8, activations=qfloat8_e4m3fn)');
  });

  it('made by itself is a float layer until it is told its types', () => {
    const layer = new QLinear(40, 6);
    expect(asQuantized(layer).quantization).toEqual({ weights: null, activations: null, optimizer: null });
    const x = randn([5, 40]);
    expect(layer.forward(x).tolist()).toEqual(nn.functional.linear(x, layer.weight, layer.bias).tolist());
  });

  describe.each(['float32', 'float16', 'bfloat16'] as const)('without a gradient, in %s', (dtype) => {
    it.each([true, false])('one native call has the bits of the separate ones (streamline: %s)', (streamline) => {
      const layer = quantize(build({ dtype }), { weights: 'qint8', activations: 'qint8' });
      calibration(() => layer.forward(randn([5, 40], { dtype })), { streamline });
      for (const frozen of [false, true]) {
        if (frozen) freeze(layer);
        const x = randn([2, 3, 40], { dtype });
        for (const input of [x, quantizeActivation(x, { qtype: 'qint8', scale: asQuantized(layer).input_scale })]) {
          const separate = layer.forward(input);
          const calls = jest.spyOn(native, 'quantize');
          const fused = noGrad(() => layer.forward(input));
          // An unfrozen weight was quantized the first time.
          if (frozen) expect(calls).not.toHaveBeenCalled();
          calls.mockRestore();
          expect([fused.isQuantized, fused.dtype, fused.shape]).toEqual([!streamline, dtype, [2, 3, 6]]);
          expect(fused.bytesSync()).toEqual(separate.bytesSync());
          if (fused instanceof QTensor) expect(fused.codes.bytesSync()).toEqual((separate as QTensor).codes.bytesSync());
        }
      }
    });
  });

  it('sees that its float weight was written to', () => {
    const layer = quantize(build(), { weights: 'qint8', activations: 'qint8' });
    const x = randn([5, 40]);
    calibration(() => layer.forward(x), { streamline: false });
    const forward = () => noGrad(() => layer.forward(x)).tolist();
    const before = forward();
    noGrad(() => nn.init.zeros_(layer.weight));
    const after = forward();
    expect(after).not.toEqual(before);
    expect(after).toEqual(layer.forward(x).tolist());
  });
});
