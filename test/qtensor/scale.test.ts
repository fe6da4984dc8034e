import { full, ones, tensor, zeros } from '../../lib';
import { isScaleDType, sameScale } from '../../lib/qtensor/scale';

describe('sameScale', () => {
  it('holds for two tensors on one storage', () => {
    const scale = full([], 0.5);
    expect(scale.hostValue).toBeUndefined();
    expect(sameScale(scale, scale)).toBe(true);
    expect(sameScale(scale, scale.detach())).toBe(true);
    expect(sameScale(scale, scale.share())).toBe(true);
  });

  it('holds for values that the host knows and that are equal', () => {
    expect(sameScale(tensor(0.1), tensor(0.1))).toBe(true);
    expect(sameScale(tensor(0.1), tensor(0.2))).toBe(false);
  });

  it('is not known without reading the device', () => {
    expect(sameScale(full([], 0.5), full([], 0.5))).toBe(false);
    expect(sameScale(tensor(0.5), full([], 0.5))).toBe(false);
  });

  it('forgets a value that an in-place write changed', () => {
    const scale = tensor(0.5);
    scale.fill_(0.25);
    expect(scale.hostValue).toBeUndefined();
    expect(sameScale(scale, tensor(0.5))).toBe(false);
  });

  it('wants one dtype and one number', () => {
    expect(sameScale(tensor(0.5), tensor(0.5, { dtype: 'float16' }))).toBe(false);
    const scales = zeros([4, 1]);
    expect(sameScale(scales, scales)).toBe(false);
    expect(sameScale(ones([2]), tensor(1))).toBe(false);
  });
});

test('floats of at least 16 bits hold scales', () => {
  expect((['float32', 'float16', 'bfloat16'] as const).every(isScaleDType)).toBe(true);
  expect((['float8_e4m3fn', 'float8_e5m2', 'int8', 'int32', 'bool'] as const).some(isScaleDType)).toBe(false);
});
