import { nn } from '../../lib';
import { editDistance, modulePaths, requireModules } from '../../lib/quantize/names';
import { expectError } from '../harness/errors';

const shared = new nn.Linear(2, 2);
const model = new nn.Sequential(shared, new nn.Sequential(shared));

test('paths lead to every module, to a shared one more than once', () => {
  expect(modulePaths(model)).toEqual(['0', '1', '1.0']);
});

// By hand: kitten -> sitten -> sittin -> sitting.
test.each([
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
  ['abc', '', 3],
  ['fc1', 'fc1', 0],
  ['fc1', 'fc12', 1],
  ['ab', 'ba', 2],
] as const)('from %j to %j there are %d edits', (a, b, edits) => {
  expect(editDistance(a, b)).toBe(edits);
});

test('names are required to lead to modules', () => {
  requireModules('op', model, ['', '1.0', '0']);
  expectError(() => requireModules('op', model, ['', '1.1']), 'INVALID_ARGUMENT', /^\[op\] .* no '1\.1' \(near: '1', '1\.0'\);/);
});
