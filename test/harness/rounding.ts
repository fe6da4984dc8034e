// Rounding of float64 to each dtype, from the formats' definitions: IEEE 754, and Micikevicius et al. 2022 (FP8 formats).
import type { DType } from '../../lib/tensor/dtype';

interface FloatFormat {
  /** Bits of the significand after the leading one. */
  readonly fraction: number;
  /** Smallest exponent of a normal number. */
  readonly minExponent: number;
  readonly max: number;
  /** What becomes of numbers beyond the largest: infinity, or the largest (a saturating conversion). */
  readonly saturates: boolean;
}

export const floatFormats: Readonly<Partial<Record<DType, FloatFormat>>> = {
  float32: { fraction: 23, minExponent: -126, max: (2 - 2 ** -23) * 2 ** 127, saturates: false },
  float16: { fraction: 10, minExponent: -14, max: 65504, saturates: false },
  bfloat16: { fraction: 7, minExponent: -126, max: (2 - 2 ** -7) * 2 ** 127, saturates: false },
  float8_e4m3fn: { fraction: 3, minExponent: -6, max: 448, saturates: true },
  float8_e4m3fnuz: { fraction: 3, minExponent: -7, max: 240, saturates: true },
  float8_e5m2: { fraction: 2, minExponent: -14, max: 57344, saturates: true },
};

export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The largest power of two that is not above |value|, as an exponent. */
function exponentOf(value: number): number {
  let exponent = Math.floor(Math.log2(Math.abs(value)));
  if (2 ** exponent > Math.abs(value)) exponent--;
  if (2 ** (exponent + 1) <= Math.abs(value)) exponent++;
  return exponent;
}

const integerRanges: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
};

/** The fnuz format has one zero. */
const signedZero = (dtype: DType, value: number): number => (dtype === 'float8_e4m3fnuz' && value === 0 ? 0 : value);

/** A number as a dtype holds it: floats to nearest even, integers truncated and saturated with NaN as 0, bool as x != 0. */
export function roundTo(dtype: DType, value: number): number {
  if (dtype === 'bool') return value === 0 ? 0 : 1;
  const range = integerRanges[dtype];
  if (range) return Number.isNaN(value) ? 0 : Math.min(Math.max(Math.trunc(value), range[0]), range[1]) + 0;
  const format = floatFormats[dtype]!;
  if (value === 0 || Number.isNaN(value)) return signedZero(dtype, value);
  if (Number.isFinite(value)) {
    const unit = 2 ** (Math.max(exponentOf(value), format.minExponent) - format.fraction);
    const rounded = Math.sign(value) * roundHalfEven(Math.abs(value) / unit) * unit;
    if (Math.abs(rounded) <= format.max) return signedZero(dtype, rounded);
  }
  return Math.sign(value) * (format.saturates ? format.max : Infinity);
}

/** A value of one dtype in another: integers keep their low bits in a narrower integer dtype, as in C and PyTorch. */
export function convertTo(target: DType, from: DType, value: number): number {
  if (target === from) return value;
  const range = integerRanges[target];
  if (!range || !integerRanges[from] || target === 'int64') return roundTo(target, value);
  const span = range[1] - range[0] + 1;
  return ((((value - range[0]) % span) + span) % span) + range[0];
}

/** Half the distance of neighbours at 1: the largest relative error of one rounding. */
export function epsilonOf(dtype: DType): number {
  const format = floatFormats[dtype];
  return format ? 2 ** (-format.fraction - 1) : 0;
}

/** The largest error of one rounding near 0. */
export function tinyOf(dtype: DType): number {
  const format = floatFormats[dtype];
  return format ? 2 ** (format.minExponent - format.fraction - 1) : 0;
}

export function largestOf(dtype: DType): number {
  return floatFormats[dtype]?.max ?? Infinity;
}
