import { setTimeout } from 'node:timers/promises';

import { AsyncScope } from '../../lib/tensor/async-scope';
import { expectError } from '../harness/errors';

test('there is no value outside, and the innermost inside', () => {
  const scope = new AsyncScope<string>();
  expect(scope.current).toBeUndefined();
  const seen = scope.run('outer', () => [scope.current, scope.run('inner', () => scope.current), scope.current]);
  expect(seen).toEqual(['outer', 'inner', 'outer']);
  expect(scope.current).toBeUndefined();
});

test('undefined hides what surrounds, across awaits too', async () => {
  const scope = new AsyncScope<string>();
  const close = scope.open('opened');
  expect(scope.run(undefined, () => scope.current)).toBeUndefined();
  expect(scope.current).toBe('opened');
  close();
  const inside = await scope.run('outer', async () => {
    const hidden = await scope.run(undefined, async () => {
      await setTimeout(1);
      return scope.current;
    });
    return [hidden, scope.current];
  });
  expect(inside).toEqual([undefined, 'outer']);
});

test('async callers have a value each', async () => {
  const scope = new AsyncScope<number>();
  const watch = (value: number) =>
    scope.run(value, async () => {
      const seen = new Set<number | undefined>();
      for (let i = 0; i < 10; i++) {
        seen.add(scope.current);
        await setTimeout(value % 3);
      }
      return [...seen];
    });
  expect(await Promise.all([watch(1), watch(2), watch(3)])).toEqual([[1], [2], [3]]);
  expect(scope.current).toBeUndefined();
});

test('open and close, for synchronous code', () => {
  const scope = new AsyncScope<string>();
  const closeOuter = scope.open('outer');
  const closeInner = scope.open('inner');
  expect(scope.current).toBe('inner');
  expect(scope.run('callback', () => scope.current)).toBe('callback');
  expect(scope.current).toBe('inner');
  expectError(closeOuter, 'INVALID_ARGUMENT', /reverse order/);
  closeInner();
  expect(scope.current).toBe('outer');
  closeOuter();
  expect(scope.current).toBeUndefined();
});

test('an error inside leaves the scope as it was', () => {
  const scope = new AsyncScope<string>();
  expect(() => scope.run('x', () => { throw new Error('mine'); })).toThrow('mine'); // prettier-ignore
  expect(scope.current).toBeUndefined();
});

test('what is no function is refused, and leaves no scope open', () => {
  const scope = new AsyncScope<string>();
  expectError(() => scope.run('value', null as never), 'INVALID_ARGUMENT', /expected a function but got null/);
  expect(scope.current).toBeUndefined();
});
