import { full, tensor, type Tensor } from '../../lib';
import { movingAverage, readScale, savedScale, scaleFor } from '../../lib/quantize/activation-scale';

const average = (old: number, latest: number, momentum: number) => movingAverage(tensor(old), tensor(latest), momentum).item();

describe('movingAverage', () => {
  it('weighs the past by the momentum', () => {
    expect(average(0.02, 0.01, 0.9)).toBeCloseTo(0.019, 8);
    expect(average(0.02, 0.01, 0)).toBeCloseTo(0.01, 8);
    // 1 is a scale like any other.
    expect(average(1, 3, 0.9)).toBeCloseTo(1.2, 6);
  });

  it('passes over what has no range', () => {
    expect(average(0, 0.01, 0.9)).toBe(Math.fround(0.01));
    expect(average(0.02, 0, 0.9)).toBe(Math.fround(0.02));
    expect(average(0, 0, 0.9)).toBe(0);
  });
});

describe('readScale', () => {
  it('reads once and remembers until the scale changes', () => {
    const scale = full([], 0.5);
    expect(scale.hostValue).toBeUndefined();
    expect(readScale(scale)).toBe(0.5);
    expect(scale.hostValue).toBe(0.5);
    scale.fill_(0.25);
    expect(readScale(scale)).toBe(0.25);
  });

  it('reads narrow floats', () => {
    expect(readScale(full([], 0.5, { dtype: 'bfloat16' }))).toBe(0.5);
  });
});

describe('savedScale', () => {
  const value = (scale: Tensor) => [scale.dtype, scale.float().item()];

  it('says 1 for a scale that is not in use, and the next number for a 1 that is', () => {
    expect(value(savedScale(tensor(0.5), true))).toEqual(['float32', 0.5]);
    expect(value(savedScale(tensor(0.5), false))).toEqual(['float32', 1]);
    expect(value(savedScale(tensor(1), true))).toEqual(['float32', 1 + 2 ** -23]);
    expect(value(savedScale(full([], 1, { dtype: 'float16' }), true))).toEqual(['float16', 1 + 2 ** -10]);
    expect(value(savedScale(full([], 1, { dtype: 'bfloat16' }), true))).toEqual(['bfloat16', 1 + 2 ** -7]);
  });
});

test('a scale follows the dtype of the activation', () => {
  const scale = tensor(0.5);
  expect(scaleFor(tensor([1]), scale)).toBe(scale);
  expect(scaleFor(tensor([1], { dtype: 'bfloat16' }), scale).dtype).toBe('bfloat16');
});
