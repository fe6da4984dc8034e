import {
  freeze,
  loadQuantized,
  nn,
  noGrad,
  quantizationMap,
  quantize,
  quantizeWeight,
  randn,
  saveQuantized,
  tensor,
  type Tensor,
} from '../../lib';
import { quantizeTokens } from '../../lib/qtensor';
import type { QuantizedModule } from '../../lib/quantize';
import { temporaryFolder } from '../io/support';
import { nativeCalls } from '../harness/called';
import { codeOf } from '../harness/errors';

const folder = temporaryFolder();

describe('a scale for each token', () => {
  const x = randn([2, 3, 24]).mul(tensor([[[1]], [[50]]]));
  const build = (options: object = {}) =>
    quantize(new nn.Sequential(new nn.Linear(24, 7), new nn.LayerNorm(7)), {
      weights: 'qint8',
      activations: 'qint8',
      activationScale: 'dynamic',
      ...options,
    });

  const layerOf = (model: nn.Sequential) => model[0] as unknown as nn.Linear;

  it('is its largest magnitude over 127, without a calibration', () => {
    const model = build();
    const float = new nn.Linear(24, 7);
    float.loadStateDict({ weight: layerOf(model).weight, bias: layerOf(model).bias as Tensor });
    const y = (model[0] as unknown as nn.Linear).forward(x);
    expect(y.isQuantized).toBe(false);
    const scale = x.abs().max({ axis: -1, keepdim: true }).div(127);
    const codes = x.div(scale).round();
    const weight = quantizeWeight(float.weight, { qtype: 'qint8' });
    expect(y.allclose(nn.functional.linear(codes.mul(scale), weight.dequantize(), float.bias), { atol: 1e-3, rtol: 1e-5 })).toBe(true);
    // Norms have no inputs to quantize.
    expect(model[1].constructor).toBe(nn.LayerNorm);
  });

  it('gives the same when frozen, saved and loaded; the original sees float activations', async () => {
    const model = build();
    const unfrozen = model.forward(x).tolist();
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation();
    freeze(model);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
    expect(model.forward(x).tolist()).toEqual(unfrozen);
    expect({ ...quantizationMap(model) }).toEqual({ 0: { weights: 'qint8', activations: 'none', dynamicActivations: 'qint8' } });
    await saveQuantized(model, folder());
    const loaded = await loadQuantized(new nn.Sequential(new nn.Linear(24, 7), new nn.LayerNorm(7)), folder());
    expect(loaded.forward(x).tolist()).toEqual(unfrozen);
  });

  it('passes gradients straight through, and serves vectors, float8 and weights of 4 bits', () => {
    const input = x.clone();
    input.requiresGrad = true;
    (build()[0] as unknown as nn.Linear).forward(input).sum().backward();
    expect(input.grad?.shape).toEqual([2, 3, 24]);
    expect((build()[0] as unknown as nn.Linear).forward(randn([24])).shape).toEqual([7]);
    for (const options of [{ activations: 'qfloat8' }, { weights: 'qint4' }, { weights: null }]) {
      const layer = build(options)[0] as unknown as nn.Linear;
      const error = layer.forward(x).sub(nn.functional.linear(x, (layer as unknown as QuantizedModule).qweight.dequantize(), layer.bias));
      expect(error.absmax().item()).toBeLessThan(0.05 * x.absmax().item());
    }
  });

  it.each([1, 4, 33])('gives in one native call, of %d rows and weights of few bits, the bits of the separate ops', (rows) => {
    for (const [k, dtype] of [
      [64, 'float32'],
      [96, 'float16'],
      [32, 'bfloat16'],
    ] as const) {
      for (const weights of ['qint4', 'qint2']) {
        const options = { weights, groupSize: 32, activations: 'qint8', activationScale: 'dynamic' } as const;
        const model = quantize(new nn.Sequential(new nn.Linear(k, 17).to(dtype)), options);
        freeze(model);
        const { weight, bias } = layerOf(model);
        const input = randn([rows, k]).to(dtype);
        const separate = nn.functional.linear(quantizeTokens(input, { qtype: 'qint8' }), weight, bias);
        let together: Tensor | undefined;
        const calls = nativeCalls(() => (together = noGrad(() => model.forward(input))));
        expect(together?.tolist()).toEqual(separate.tolist());
        expect([calls.linearBitsInt8, calls.reduce, calls.quantize]).toEqual([1, undefined, undefined]);
      }
    }
  });

  it('is an option with two values', () => {
    expect(codeOf(() => build({ activationScale: 'often' }))).toBe('INVALID_ARGUMENT');
  });
});
