import { Comparison } from '../../lib';

const deviation = (sqnr: number, saturation: { input: number | null; output: number | null } = { input: null, output: null }) => ({
  sqnr,
  cosine: 1 - 10 ** (-sqnr / 10) / 2,
  maxError: 0.5,
  saturation,
});

const row = (name: string, sqnr: number | null, accumulated = sqnr) => ({
  name,
  type: 'QLinear',
  weights: 'qint8',
  activations: 'none',
  calls: sqnr === null ? 0 : 2,
  alone: sqnr === null ? null : deviation(sqnr),
  accumulated: accumulated === null ? null : deviation(accumulated),
});

const modules = [row('good', 60, 30), row('unused', null), row('bad', 20, 35), row('', Infinity), row('worst', NaN)];
const output = { ...deviation(33.333), cosine: 0.5 };

test('the table has the worst module alone first, what never ran last, and the output below', () => {
  const lines = new Comparison(modules, output, 2).toString().split('\n');
  expect(lines.slice(2, -1).map((line) => line.split(/\s{2,}/)[0])).toEqual(['worst', 'bad', 'good', '(QLinear)', 'unused']);
  expect(lines[3]).toMatch(/^bad +qint8 +none +20\.00 +35\.00 +0\.995000 +0\.999842 +0\.5 +0\.5 +- +-$/);
  expect(lines.at(-2)).toMatch(/^unused +qint8 +none( +-){8}$/);
  expect(lines.at(-1)).toBe('output: SQNR 33.33 dB, cosine 0.500000, largest error 0.5; samples: 2');
});

test('the data keep the order of the model', () => {
  const comparison = new Comparison(modules, output, 2);
  expect(comparison.modules.map(({ name }) => name)).toEqual(['good', 'unused', 'bad', '', 'worst']);
  expect(Object.keys(comparison)).toEqual(['modules', 'output', 'samples']);
});

/** The charts that a page gives to its script. */
function chartsOf(comparison: Comparison) {
  const [, json] = /<script type="application\/json" id="charts">(.*?)<\/script>/.exec(comparison.html())!;
  return JSON.parse(json) as {
    title: string;
    axis: string;
    note: string;
    labels: string[];
    series: { values: (number | null)[]; texts: string[] }[];
  }[];
}

test('the plots have units, the order of the table, and text for what cannot be drawn', () => {
  const [sqnr, direction, error, ...others] = chartsOf(new Comparison(modules, output, 2));
  expect(others).toEqual([]);
  expect([sqnr.axis, direction.axis, error.axis]).toEqual([
    'SQNR (dB)',
    '1 - cosine (logarithmic)',
    'largest absolute difference (unit of the output)',
  ]);
  expect(sqnr.labels).toEqual(['worst', 'bad', 'good', '(QLinear)', 'unused']);
  expect(sqnr.series[0].values).toEqual([null, 20, 60, null, null]);
  expect(sqnr.series[0].texts).toEqual(['NaN dB', '20.00 dB', '60.00 dB', '∞ dB', 'not measured']);
  expect(sqnr.note).toContain('∞, where nothing differs, has no bar.');
  // A logarithmic axis has no 0.
  expect(direction.series[0].values[3]).toBeNull();
  expect(direction.series[0].texts[3]).toBe('0');
});

test('saturation has a plot in percent where activations are quantized', () => {
  const saturated = { ...row('a', 30), accumulated: deviation(30, { input: 0.25, output: null }) };
  const chart = chartsOf(new Comparison([saturated, row('b', 40)], output, 1)).at(-1)!;
  expect(chart.title).toBe('Saturated activation codes');
  expect(chart.series.map(({ values }) => values)).toEqual([
    [25, null],
    [null, null],
  ]);
  expect(chart.series[0].texts).toEqual(['25.00 %', 'not measured']);
});
