import { tensor } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { keep, tidy } from '../../lib/tensor/scope';
import { buffer, Parameter, type Tensor } from '../../lib/tensor/tensor';
import { expectError } from '../harness/errors';
import { collectGarbage } from '../harness/garbage';
import { settledMemory } from '../harness/memory';

// Some tests count tensors, and those that earlier tests left must not go in between.
beforeEach(collectGarbage);

test('tidy frees what was made inside, but its result', () => {
  const before = settledMemory().tensors;
  let inner: Tensor | undefined;
  const result = tidy(() => {
    inner = tensor([1, 2]);
    return inner.add(1).mul(2);
  });
  expect(inner?.isDisposed).toBe(true);
  expect(result.tolist()).toEqual([4, 6]);
  expect(memory().tensors).toBe(before + 1);
});

test('what was made outside is left alone', () => {
  const outside = tensor([1]);
  tidy(() => void outside.add(1));
  expect(outside.item()).toBe(1);
});

test('results in arrays, objects, maps and sets survive', () => {
  class Holder {
    constructor(readonly held: Tensor) {}
  }
  const made = tidy(() => {
    const one = () => tensor([1]);
    return {
      list: [one(), [one()]],
      object: { deep: { x: one() } },
      map: new Map([['k', one()]]),
      set: new Set([one()]),
      holder: new Holder(one()),
    };
  });
  const found = [made.list[0], (made.list[1] as Tensor[])[0], made.object.deep.x, made.map.get('k'), ...made.set] as Tensor[];
  expect(found.map(({ isDisposed }) => isDisposed)).toEqual([false, false, false, false, false]);
  // Objects of a class are not searched.
  expect(made.holder.held.isDisposed).toBe(true);
});

test('scopes nest: a result belongs to the outer one', () => {
  let middle: Tensor | undefined;
  const result = tidy(() => {
    middle = tidy(() => tensor([1]).add(1));
    expect(middle.isDisposed).toBe(false);
    return middle.add(1);
  });
  expect(middle?.isDisposed).toBe(true);
  expect(result.item()).toBe(3);
});

test('kept tensors, parameters and buffers outlive the scope', () => {
  const [kept, parameter, running] = tidy(() => {
    const all = [keep(tensor([1])), new Parameter(tensor([2])), buffer(tensor([3]))];
    return [() => all[0], () => all[1], () => all[2]];
  }).map((get) => get());
  expect([kept.item(), parameter.item(), running.item()]).toEqual([1, 2, 3]);
});

test('gradients outlive the scope, and what the tape needs is not lost', () => {
  const w = new Parameter(tensor([2, 3]));
  const loss = tidy(() => {
    const x = tensor([10, 20]);
    return w.mul(x).square().sum();
  });
  tidy(() => loss.backward());
  expect(w.grad?.tolist()).toEqual([2 * 20 * 10, 2 * 60 * 20]);
});

test('an error inside frees everything and is passed on', () => {
  const before = settledMemory().tensors;
  expect(() =>
    tidy(() => {
      tensor([1]).add(1);
      throw new RangeError('mine');
    }),
  ).toThrow(new RangeError('mine'));
  expect(memory().tensors).toBe(before);
  // The scope is closed: this tensor belongs to nobody.
  const after = tensor([1]);
  tidy(() => undefined);
  expect(after.isDisposed).toBe(false);
});

test('an async function is refused, and its scope is closed', () => {
  expectError(() => tidy(async () => tensor([1])), 'INVALID_ARGUMENT', /\[tidy\] expected a synchronous function/);
  const x = tensor([1]);
  tidy(() => undefined);
  expect(x.isDisposed).toBe(false);
});

test('values that are no tensors pass through', () => {
  expect(tidy(() => 3)).toBe(3);
  expect(tidy(() => null)).toBeNull();
  expect(tidy(() => 'text')).toBe('text');
});

test('tidy takes a function only', () => {
  expectError(() => tidy(null as never), 'INVALID_ARGUMENT', /\[tidy\] expected a function/);
});
