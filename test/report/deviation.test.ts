import { DeviationMeter } from '../../lib/report/deviation';

async function deviation(...pairs: [number[], number[]][]) {
  const meter = new DeviationMeter();
  for (const [reference, values] of pairs) await meter.add(reference, values);
  return meter.result;
}

const none = { input: null, output: null };

test('the definitions, over several additions', async () => {
  const result = await deviation(
    [
      [3, -4],
      [3, -3],
    ],
    [[12], [14]],
  );
  expect(result.sqnr).toBeCloseTo(10 * Math.log10((9 + 16 + 144) / (1 + 4)), 12);
  expect(result.cosine).toBeCloseTo((9 + 12 + 168) / Math.sqrt(169 * (9 + 9 + 196)), 12);
  expect(result).toMatchObject({ maxError: 2, saturation: none });
});

test.each<[string, [number[], number[]], object]>([
  [
    'equal',
    [
      [1, 2],
      [1, 2],
    ],
    { sqnr: Infinity, maxError: 0, cosine: expect.closeTo(1, 12) },
  ],
  [
    'opposite',
    [
      [1, 2],
      [-1, -2],
    ],
    { sqnr: 10 * Math.log10(1 / 4), maxError: 4, cosine: expect.closeTo(-1, 12) },
  ],
  ['both zero', [[0], [0]], { sqnr: Infinity, maxError: 0, cosine: 1 }],
  ['zero in float alone', [[0], [2]], { sqnr: -Infinity, maxError: 2, cosine: 0 }],
  ['zero when quantized', [[2], [0]], { sqnr: 0, maxError: 2, cosine: 0 }],
  [
    'NaN',
    [
      [1, 1],
      [NaN, 1],
    ],
    { sqnr: NaN, maxError: NaN, cosine: NaN },
  ],
  ['empty', [[], []], { sqnr: Infinity, maxError: 0, cosine: 1 }],
])('%s', async (_, pair, expected) => {
  expect(await deviation(pair)).toMatchObject(expected);
});

test('sums are in double precision, and the event loop turns meanwhile', async () => {
  // In float32 the small squares would be lost beside the first one.
  const reference = new Float32Array(2 ** 21 + 7).fill(2 ** -10);
  reference[0] = 2 ** 10;
  const values = reference.map((value, i) => (i === 0 ? value : 0));
  let turned = false;
  setImmediate(() => (turned = true));
  const meter = new DeviationMeter();
  await meter.add(reference, values);
  expect(turned).toBe(true);
  const small = (2 ** 21 + 6) * 2 ** -20;
  expect(meter.result.sqnr).toBeCloseTo(10 * Math.log10((2 ** 20 + small) / small), 9);
});

test('shares of codes are over all of them', () => {
  const meter = new DeviationMeter();
  meter.addCodes('input', { saturated: 1, codes: 10 });
  meter.addCodes('input', { saturated: 0, codes: 30 });
  meter.addCodes('output', { saturated: 0, codes: 4 });
  expect(meter.result.saturation).toEqual({ input: 1 / 40, output: 0 });
});
