import { ops } from '../../lib/ops';
import { binaryOps } from '../../lib/ops/binary';
import { unaryOps } from '../../lib/ops/unary';
import { BinaryOp, UnaryOp } from '../../lib/native';
import { cases } from '../cases';
import { checksOf, hasGradient } from '../harness/case';

const large = /large|of \d{4,}|\d{5}/;

/** The ops whose values, or gradients, some row checks. */
function checkedOps(part: 'forward' | 'vjp', mode: string): Set<string> {
  const spies = Object.values(ops)
    .filter((op) => op[part])
    .map((op) => ({ name: op.name, spy: jest.spyOn(op as never, part) }));
  const rows = cases.filter((row) => !large.test(row.name) && (mode === 'value' || hasGradient(row)));
  for (const row of rows) {
    checksOf(row)
      .find((check) => check.mode === mode)
      ?.run('cpu');
  }
  const checked = spies.filter(({ spy }) => spy.mock.calls.length > 0).map(({ name }) => name);
  jest.restoreAllMocks();
  return new Set(checked);
}

// A move needs a second device.
const elsewhere = ['toDevice'];

test('the case table checks the value of every op of the registry', () => {
  const checked = checkedOps('forward', 'value');
  expect(Object.keys(ops).filter((name) => !checked.has(name))).toEqual(elsewhere);
});

test('the case table checks the gradient of every op that has one', () => {
  const checked = checkedOps('vjp', 'gradient');
  const missing = Object.values(ops).filter(({ name, vjp }) => vjp && !checked.has(name));
  expect(missing.map(({ name }) => name)).toEqual(elsewhere);
});

test('names of ops, and of rows within a family, are unique', () => {
  const names = cases.map(({ family, name }) => `${family} ${name}`);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  // `npx jest -t` takes a regular expression.
  expect(names.filter((name) => /[()[\]{}*+?|^$\\]/.test(name))).toEqual([]);
});

test('the elementwise ops are the rows of unary.def and binary.def', () => {
  const internal = ['geluGrad', 'geluTanhGrad', 'siluGrad'];
  expect(unaryOps.map(({ name }) => name).sort()).toEqual(
    Object.keys(UnaryOp)
      .filter((name) => !internal.includes(name))
      .sort(),
  );
  expect(binaryOps.map(({ name }) => name).sort()).toEqual([...Object.keys(BinaryOp), 'where'].sort());
});
