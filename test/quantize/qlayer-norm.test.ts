import { calibration, type DType, freeze, manualSeed, nn, QLayerNorm, QTensor, quantize, randn } from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';

beforeEach(() => {
  manualSeed(1);
});

const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;
const build = (dtype: DType = 'float32', elementwiseAffine = true) => new nn.LayerNorm(8, { dtype, elementwiseAffine });

describe('QLayerNorm', () => {
  it('exists for quantized activations alone', () => {
    expect(quantize(build(), { weights: 'qint8' })).not.toBeInstanceOf(QLayerNorm);
    expect(quantize(build(), { weights: 'qint8', activations: 'qint8' })).toBeInstanceOf(QLayerNorm);
    expect(quantize(build(), { activations: 'qint8' })).toBeInstanceOf(QLayerNorm);
  });

  it('keeps its weight in float', () => {
    const norm = quantize(build(), { weights: 'qint8', activations: 'qint8' });
    calibration(() => norm.forward(randn([4, 8])));
    freeze(norm);
    expect(norm.weight?.isQuantized).toBe(false);
    expect(asQuantized(norm).frozen).toBe(false);
    expect(asQuantized(norm).quantization.weights).toBeNull();
    expect(Object.keys(norm.stateDict()).sort()).toEqual(['bias', 'input_scale', 'output_scale', 'weight']);
  });

  // Without a weight its scales are float32, whatever the dtype of the model.
  it.each([
    ['float32', true],
    ['float32', false],
    ['bfloat16', true],
    ['bfloat16', false],
    ['float16', false],
  ] as const)('quantizes its output in %s (weights: %s)', (dtype, affine) => {
    const norm = quantize(build(dtype, affine), { activations: 'qint8' });
    const x = randn([4, 8], { dtype });
    const expected = norm.forward(x);
    calibration(() => norm.forward(x), { streamline: false });
    const y = norm.forward(x);
    expect(y).toBeInstanceOf(QTensor);
    expect([y.dtype, asQuantized(norm).output_scale.dtype]).toEqual([dtype, affine ? dtype : 'float32']);
    const scale = (y as QTensor).scale.float().item();
    // Half a step, and in narrow dtypes the rounding of the quotient and of the value.
    expect(y.float().allclose(expected.float(), { atol: scale * (dtype === 'float32' ? 0.51 : 1.1) })).toBe(true);
  });
});
