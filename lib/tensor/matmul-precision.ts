import { QuantoError } from './error';

/** How exactly products of real activations and quantized weights take the activations. */
export type MatmulPrecision = 'highest' | 'high' | 'medium';

// Numbers of the native side, by name.
const numbers: Readonly<Record<MatmulPrecision, number>> = { highest: 0, high: 1, medium: 2 };

let current: MatmulPrecision = 'highest';

/**
 * Allows linear layers of quantized weights to round their real activations for speed, as PyTorch's function of this name does for float
 * products. For int8 weights on AMX, AVX-512 VNNI, AVX-VNNI and the dot products of ARM, both `high` and `medium` take activations in 14
 * bits below the largest of their row, half the steps of `highest`: one of at least 1/64 of the largest is as exact as a bfloat16, or more
 * so. For weights of other types, on AMX alone, `high` takes two bfloat16 terms of each activation, 16 bits, and `medium` one, instead of
 * three. `highest`, the default, keeps float32's accuracy.
 *
 * Nothing changes elsewhere, and for float weights, integer activations, gradients, rows of more than 131,071 values, and inputs that
 * contain an infinity or NaN or a row of nothing but numbers below 2^-113. It holds for calls made after it, in this thread of JavaScript.
 * Throws INVALID_ARGUMENT for another name.
 */
export function setFloat32MatmulPrecision(precision: MatmulPrecision): void {
  const given: unknown = precision;
  if (typeof given !== 'string' || !Object.hasOwn(numbers, given)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[setFloat32MatmulPrecision] expected 'highest', 'high' or 'medium' but got ${String(given)}`,
    );
  }
  current = precision;
}

/** The precision that was asked for last; `highest` at first. */
export function getFloat32MatmulPrecision(): MatmulPrecision {
  return current;
}

/** The current precision as the native side knows it. */
export function matmulPrecisionNumber(): number {
  return numbers[current];
}
