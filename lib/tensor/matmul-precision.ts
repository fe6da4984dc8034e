import { QuantoError } from './error';

/** How exactly products of real activations and quantized weights take the activations. */
export type MatmulPrecision = 'highest' | 'high' | 'medium';

// Numbers of the native side, by name.
const numbers: Readonly<Record<MatmulPrecision, number>> = { highest: 0, high: 1, medium: 2 };

let current: MatmulPrecision = 'highest';

/**
 * Allows linear layers of quantized weights to round their real activations for speed, as PyTorch's function of this name does for float
 * products. `highest`, the default, keeps float32's accuracy. `high`: int8 weights see activations in 14 bits below the largest of their
 * row, so one of at least 1/64 of it is as exact as a bfloat16 or more so, which takes half the time on AMX, AVX-512 VNNI, AVX-VNNI and ARM's dot products;
 * weights of other types, on AMX alone, see two bfloat16 terms, 16 bits. `medium`: these see plain bfloat16. Elsewhere, and for float
 * weights, integer activations and gradients, nothing changes.
 *
 * It holds for calls made after it, in this thread of JavaScript. Throws INVALID_ARGUMENT for another name.
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

export function getFloat32MatmulPrecision(): MatmulPrecision {
  return current;
}

/** The current precision as the native side knows it. */
export function matmulPrecisionNumber(): number {
  return numbers[current];
}
