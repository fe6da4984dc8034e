import { QuantoError } from '../../lib/tensor/error';

import { errorOf } from './case';

/** Expects a call, or reading the tensor that it returns, to end in an error of this code. */
export function expectError(run: () => unknown, code: QuantoError['code'], message = /./): void {
  const error = errorOf(run);
  expect(error).toBeInstanceOf(QuantoError);
  expect((error as QuantoError).code).toBe(code);
  expect((error as QuantoError).message).toMatch(message);
}
