import { positiveInteger } from '../../../examples/mnist/options';

test('integers of at least 1 are taken', () => {
  expect(['1', '60000'].map(positiveInteger)).toEqual([1, 60000]);
});

test.each(['0', '-1', '1.5', '1e3', '', 'ten'])('%j is refused', (text) => {
  expect(() => positiveInteger(text)).toThrow('Expected an integer of at least 1.');
});
