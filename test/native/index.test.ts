import { readFileSync } from 'node:fs';

import { native } from '../../lib/native';

test('every function of the stubs is there', () => {
  const stubs = readFileSync(require.resolve('../../lib/native/stubs'), 'utf8');
  const declared = [...stubs.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name]) => name);
  expect(declared.length).toBeGreaterThan(80);
  const functions = native as unknown as Record<string, unknown>;
  expect(declared.filter((name) => typeof functions[name] !== 'function')).toEqual([]);
});
