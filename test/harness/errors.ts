import type { ErrorCode } from '../../lib/tensor/error';
import { QuantoError } from '../../lib/tensor/error';

import { failureOf } from './case';

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

/** Matches a QuantoError of a code whose message has a piece: for toThrow, rejects.toEqual and the like. */
export function coded(code: ErrorCode, message: RegExp | string = ''): Error {
  return expect.objectContaining({ name: 'QuantoError', code, message: expect.stringMatching(message) as string }) as Error;
}

/** Expects a call, or reading the tensor that it returns, to end in an error of a code. */
export function expectError(body: () => unknown, code: ErrorCode, message: RegExp | string = ''): void {
  expect(failureOf(body)).toEqual(coded(code, message));
}
