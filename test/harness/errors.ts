import type { ErrorCode } from '../../lib/tensor/error';
import { QuantoError } from '../../lib/tensor/error';

/** The code of the error that a function throws; fails where it throws none, or one of another kind. */
export function codeOf(body: () => unknown): ErrorCode {
  return errorOf(body).code;
}

export function errorOf(body: () => unknown): QuantoError {
  let result: unknown;
  try {
    result = body();
  } catch (error) {
    if (error instanceof QuantoError) return error;
    throw error;
  }
  throw new Error(`expected a QuantoError but got ${String(result)}`);
}
