import { calibration, cat, manualSeed, nn, observers, percentileObserver, qint8, quantize, randn, tensor, type Tensor } from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';
import { toObserver } from '../../lib/quantize/observers';
import { codeOf } from '../harness/errors';

const ramp = (n: number, largest: number) => tensor(Float32Array.from({ length: n }, (_, i) => ((i + 1) / n) * largest * (i % 2 ? 1 : -1)));

/** The input scale of a layer that was calibrated on batches. */
function scaleAfter(observer: Parameters<typeof toObserver>[0], batches: readonly Tensor[], momentum = 0.9): number {
  const model = quantize(new nn.Sequential(new nn.Linear(4, 2)), { weights: 'qint8', activations: 'qint8', observer });
  calibration(() => batches.map((batch) => model.forward(batch)), { momentum });
  return (model[0] as unknown as QuantizedModule).input_scale.item();
}
const batch = (largest: number) => tensor([[largest, 0, -largest / 2, 1]]);

describe('observers', () => {
  it('average the largest magnitudes of batches by default', () => {
    expect(scaleAfter('movingAverage', [batch(127), batch(254)])).toBeCloseTo(1.1, 6);
    expect(scaleAfter('movingAverage', [batch(127), batch(254)], 0.5)).toBeCloseTo(1.5, 6);
  });

  it('may keep the largest magnitude of all', () => {
    expect(scaleAfter('absmax', [batch(127), batch(254), batch(12.7)])).toBeCloseTo(2, 6);
  });

  it('may leave a share of the values outside', () => {
    const values = ramp(1000, 127);
    const scale = (share: number) => percentileObserver(share).measure(values, qint8).item();
    expect(scale(1)).toBeCloseTo(1, 6);
    expect(scale(0.9)).toBeCloseTo(0.9, 6);
    expect(scale(0.5)).toBeCloseTo(0.5, 6);
    expect(observers.percentile.measure(values, qint8).item()).toBeCloseTo(0.999, 6);
    // Of few values none is outside.
    expect(observers.percentile.measure(ramp(10, 127), qint8).item()).toBeCloseTo(1, 6);
  });

  it('may choose the scale of the least squared error', () => {
    manualSeed(1);
    const even = ramp(1000, 127);
    expect(observers.mse.measure(even, qint8).item()).toBeCloseTo(1, 6);
    // Of 20 tried scales none does better.
    const values = cat([randn([100000]), tensor([10])]);
    const best = observers.mse.measure(values, qint8).item();
    const widest = values.absmax().item() / 127;
    const errorOf = (scale: number) => {
      const codes = values.div(scale).round().clamp(-128, 127);
      return codes.mul(scale).sub(values).square().mean().item();
    };
    expect(best).toBeLessThan(0.9 * widest);
    for (let i = 0; i < 20; i++) expect(errorOf(best)).toBeLessThanOrEqual(errorOf(widest * (1 - i / 24)) * 1.0001);
  });

  it('take float8 and narrow activations', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const scale = observers.mse.measure(ramp(64, 2).to(dtype), qint8);
      expect(scale.dtype).toBe(dtype);
      expect(scale.shape).toEqual([]);
    }
  });

  it('are found by name or given', () => {
    expect(toObserver('mse')).toBe(observers.mse);
    const own = percentileObserver(0.5);
    expect(toObserver(own)).toBe(own);
    expect(codeOf(() => toObserver('toString' as 'mse'))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => quantize(new nn.Linear(2, 2), { activations: 'qint8', observer: 'best' as 'mse' }))).toBe('INVALID_ARGUMENT');
  });

  it.each([0, 2, NaN])('refuse a share of %s', (share) => {
    expect(codeOf(() => percentileObserver(share))).toBe('INVALID_ARGUMENT');
  });
});
