import { Sensitivity, type Trial } from '../../lib';
import { codeOf } from '../harness/errors';

const trial = (changes: Partial<Trial>): Trial => ({
  name: 'a',
  type: 'QLinear',
  qtypes: { weights: 'qint8', activations: 'none' },
  metric: 6,
  loss: 1,
  savedBytes: 3000,
  ...changes,
});

const trials = [
  trial({ name: 'a', loss: 0.5, metric: 5.5 }),
  trial({ name: '', qtypes: { weights: 'none', activations: 'qint8' }, loss: -0.25, metric: 4.75, savedBytes: -8 }),
  trial({ name: 'a', qtypes: { weights: 'qint4', activations: 'none' }, loss: 2, metric: 7 }),
  trial({ name: '<b>', qtypes: { weights: 'qint8', activations: 'qint8' }, loss: Infinity, metric: NaN }),
];
const result = new Sensitivity(5, 'minimize', 20_000, trials);

test('the table has the worst trial first', () => {
  const lines = result.toString().split('\n');
  expect(lines.slice(2, -1).map((line) => line.split(/\s{2,}/))).toEqual([
    ['<b>', 'qint8', 'qint8', 'NaN', '∞', '3.00 kB', '∞'],
    ['a', 'qint4', 'none', '7.00000', '2', '3.00 kB', '667'],
    ['a', 'qint8', 'none', '5.50000', '0.5', '3.00 kB', '167'],
    ['(QLinear)', 'none', 'qint8', '4.75000', '-0.25', '-8 B', '-'],
  ]);
  expect(lines.at(-1)).toBe('float model: metric 5.00000 (minimize), 20.0 kB');
});

test('the plots have a row for each module and bars for each qtype', () => {
  const [, json] = /<script type="application\/json" id="charts">(.*?)<\/script>/.exec(result.html())!;
  const [loss, saved] = JSON.parse(json) as { labels: string[]; series: { label: string; values: unknown[]; texts: string[] }[] }[];
  expect(loss.labels).toEqual(['<b>', 'a', '(QLinear)']);
  expect(loss.series.map(({ label, values }) => [label, values])).toEqual([
    ['qint8', [null, 0.5, null]],
    ['activations qint8', [null, null, -0.25]],
    ['qint4', [null, 2, null]],
    ['qint8 x qint8', [null, null, null]],
  ]);
  expect(loss.series[3].texts).toEqual(['∞', 'not tried', 'not tried']);
  expect(saved.series[0]).toMatchObject({ values: [null, 3, null], texts: ['not tried', '3.00 kB', 'not tried'] });
  expect(result.html()).not.toContain('<b>');
});

test('an estimate adds up bytes, and losses without gains', () => {
  const map = { a: { weights: 'qint4', activations: 'none' }, '': { weights: 'none', activations: 'qint8' } };
  expect(result.estimate(map)).toEqual({ bytes: 20_000 - 3000 + 8, loss: 2 });
  expect(result.estimate({})).toEqual({ bytes: 20_000, loss: 0 });
  expect(codeOf(() => result.estimate({ a: { weights: 'qint2', activations: 'none' } }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => result.estimate({ toString: { weights: 'qint8', activations: 'none' } }))).toBe('INVALID_ARGUMENT');
});
