import { add, tensor } from '../../lib/ops';
import { QuantoError } from '../../lib/tensor/error';
import { expectError } from '../harness/errors';

test('an error has a code and a name, and is an Error', () => {
  const error = new QuantoError('SHAPE_MISMATCH', '[op] text');
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe('QuantoError');
  expect(error.code).toBe('SHAPE_MISMATCH');
  expect(String(error)).toBe('QuantoError: [op] text');
});

test('errors of the native side are of the same class', () => {
  expectError(() => add(tensor([1, 2]), tensor([1, 2, 3])), 'SHAPE_MISMATCH', /^\[add\]/);
});
