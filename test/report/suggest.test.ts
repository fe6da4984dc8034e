import { quantizationMap, quantize, Sensitivity, suggest } from '../../lib';
import { codeOf, errorOf } from '../harness/errors';
import { Mlp } from '../harness/mlp';

type Row = readonly [name: string, weights: string, loss: number, savedBytes: number];

const FLOAT_BYTES = 1000;
const sensitivityOf = (...rows: readonly Row[]) =>
  new Sensitivity(
    5,
    'minimize',
    FLOAT_BYTES,
    rows.map(([name, weights, loss, savedBytes]) => ({
      name,
      type: 'QLinear',
      qtypes: { weights, activations: 'none' },
      metric: 5 + loss,
      loss,
      savedBytes,
    })),
  );
const weightsOf = (map: Record<string, { weights: string }>) =>
  Object.fromEntries(Object.entries(map).map(([name, { weights }]) => [name, weights]));

const typical = sensitivityOf(
  ['a', 'qint8', 0.1, 300],
  ['b', 'qint8', 0.01, 150],
  ['c', 'qint8', 0, 75],
  ['a', 'qint4', 0.9, 350],
  ['b', 'qint4', 0.05, 175],
  ['c', 'qint4', 0.2, 88],
);

test.each<[number, Record<string, string>]>([
  [1000, {}],
  [925, { c: 'qint8' }],
  [775, { b: 'qint8', c: 'qint8' }],
  [475, { a: 'qint8', b: 'qint8', c: 'qint8' }],
  [450, { a: 'qint8', b: 'qint4', c: 'qint8' }],
  [387, { a: 'qint4', b: 'qint4', c: 'qint4' }],
])('%d bytes', (maxBytes, expected) => {
  const map = suggest(typical, { maxBytes });
  expect(weightsOf(map)).toEqual(expected);
  expect(typical.estimate(map).bytes).toBeLessThanOrEqual(maxBytes);
});

test('what the last step saved too much is given back', () => {
  // The cheap steps come first, and the large one makes them needless.
  const sensitivity = sensitivityOf(['small', 'qint8', 0.01, 10], ['large', 'qint8', 1, 500]);
  expect(weightsOf(suggest(sensitivity, { maxBytes: 500 }))).toEqual({ large: 'qint8' });
});

test.each<[number, Record<string, string>]>([
  [0, { c: 'qint8' }],
  [0.01, { b: 'qint8', c: 'qint8' }],
  [0.11, { a: 'qint8', b: 'qint8', c: 'qint8' }],
  [0.16, { a: 'qint8', b: 'qint4', c: 'qint8' }],
  [100, { a: 'qint4', b: 'qint4', c: 'qint4' }],
])('a loss of %d', (maxLoss, expected) => {
  const map = suggest(typical, { maxLoss });
  expect(weightsOf(map)).toEqual(expected);
  expect(typical.estimate(map).loss).toBeLessThanOrEqual(maxLoss);
});

test('a gain pays for nothing, and an infinite loss is taken last', () => {
  const sensitivity = sensitivityOf(['gain', 'qint8', -5, 100], ['costs', 'qint8', 1, 100], ['broken', 'qint2', Infinity, 200]);
  expect(weightsOf(suggest(sensitivity, { maxLoss: 0.5 }))).toEqual({ gain: 'qint8' });
  expect(weightsOf(suggest(sensitivity, { maxBytes: 800 }))).toEqual({ gain: 'qint8', costs: 'qint8' });
  expect(weightsOf(suggest(sensitivity, { maxBytes: 700 }))).toMatchObject({ broken: 'qint2' });
});

test('what saves nothing stays in float', () => {
  expect(weightsOf(suggest(sensitivityOf(['norm', 'none', 0, -8], ['a', 'qint8', 1, 100]), { maxLoss: 9 }))).toEqual({ a: 'qint8' });
});

test('a budget that cannot be met says what can', () => {
  const { code, message } = errorOf(() => suggest(typical, { maxBytes: 386 }));
  expect(code).toBe('INVALID_ARGUMENT');
  expect(message).toMatch(/386 bytes: 387 is the least/);
});

test.each([{}, { maxBytes: 1, maxLoss: 1 }, { maxLoss: -1 }, { maxBytes: NaN }])('the budget %p is refused', (budget) => {
  expect(codeOf(() => suggest(typical, budget))).toBe('INVALID_ARGUMENT');
});

test('quantize takes the map', () => {
  const sensitivity = sensitivityOf(['fc1', 'qint8', 1, 300], ['fc2', 'qfloat8_e5m2', 0.1, 300], ['fc3', 'qint8', 9, 100]);
  const map = suggest(sensitivity, { maxLoss: 2 });
  const model = quantize(new Mlp([4, 5, 6, 7]), { weights: map });
  expect(quantizationMap(model)).toEqual({
    fc1: { weights: 'qint8', activations: 'none' },
    fc2: { weights: 'qfloat8_e5m2', activations: 'none' },
  });
});
