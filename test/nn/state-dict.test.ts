import { LoadReport } from '../../lib/nn';
import { ones, zeros } from '../../lib/ops';
import { errorOf } from '../harness/errors';

test('entries that nobody asked for are unexpected; optional ones are not missing', () => {
  const report = new LoadReport({ a: ones([1]), b: ones([1]), c: ones([1]) }, false);
  expect(report.has('b')).toBe(true);
  report.load('a', zeros([1]));
  expect(report.find('absent', { optional: true })).toBeNull();
  expect(report.find('missing')).toBeNull();
  expect(report.find('c')).not.toBeNull();
  expect(report.finish('Net', false)).toEqual({ missingKeys: ['missing'], unexpectedKeys: ['b'] });
});

test('nothing is written unless everything fits', () => {
  const target = zeros([2]);
  const report = new LoadReport({ good: ones([2]), bad: ones([3]) }, false);
  report.load('good', target);
  report.load('bad', zeros([2]));
  let written = false;
  report.whenComplete(() => (written = true));
  const error = errorOf(() => report.finish('Net', false));
  expect([error.code, target.tolist(), written]).toEqual(['STATE_DICT', [0, 0], false]);
  expect(error.message).toBe(
    '[loadStateDict] the state dict does not fit Net: bad expects shape [2] but got [3]; build the module with the sizes of the file',
  );
});

test('a module may add reasons of its own', () => {
  const report = new LoadReport({}, false);
  report.mismatches.push('weight._scale is not positive');
  expect(errorOf(() => report.finish('Net', false)).message).toMatch(/weight\._scale is not positive/);
});

test('values are converted to the dtype of the target', () => {
  const target = zeros([2], { dtype: 'float16' });
  const report = new LoadReport({ a: ones([2]) }, false);
  report.load('a', target);
  report.finish('Net', true);
  expect([target.dtype, target.tolist()]).toEqual(['float16', [1, 1]]);
});

test('a state dict that is given up is freed entry by entry, but not by a load that fails', () => {
  const state = { a: ones([2]), b: ones([3]) };
  const misfit = new LoadReport(state, false, true);
  misfit.load('a', zeros([2]));
  misfit.load('b', zeros([2]));
  errorOf(() => misfit.finish('Net', true));
  expect([state.a.isDisposed, state.b.isDisposed]).toEqual([false, false]);

  const target = zeros([2]);
  const report = new LoadReport(state, false, true);
  report.load('a', target);
  report.finish('Net', false);
  expect([state.a.isDisposed, state.b.isDisposed, target.tolist()]).toEqual([true, false, [1, 1]]);
});

test('what is no tensor is refused by its name', () => {
  const { code, message } = errorOf(() => new LoadReport({ weight: 1 } as never, false));
  expect([code, message]).toEqual(['INVALID_ARGUMENT', expect.stringContaining('weight')]);
});
