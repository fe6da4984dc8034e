import { bytes, cosine, decibels, percent, significant } from '../../lib/report/numbers';

test.each([
  [decibels(37.126), '37.13'],
  [decibels(Infinity), '∞'],
  [decibels(-Infinity), '-∞'],
  [decibels(NaN), 'NaN'],
  [percent(0.01234), '1.23 %'],
  [percent(null), '-'],
  [cosine(0.9999994), '0.999999'],
  [significant(0), '0'],
  [significant(0.0357123), '0.0357'],
  [significant(-1234.5), '-1230'],
  [significant(0.0000123), '1.23e-5'],
  [significant(1234567), '1.23e+6'],
  [significant(Infinity), '∞'],
  [bytes(-8), '-8 B'],
  [bytes(999), '999 B'],
  [bytes(1000), '1.00 kB'],
  [bytes(24060), '24.1 kB'],
  [bytes(5.5e9), '5.50 GB'],
])('%s is %s', (spelled, expected) => {
  expect(spelled).toBe(expected);
});
