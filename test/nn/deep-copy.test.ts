import { deepCopy } from '../../lib/nn/deep-copy';
import { ones, tensor } from '../../lib/ops';
import { buffer, Parameter } from '../../lib/tensor/tensor';

class Shared {
  tensor = ones([1]);
}
class Copied {
  constructor(readonly inner: unknown) {}
}
const copyOf = <T>(value: T): T => deepCopy(value, new Map(), (item) => item instanceof Copied) as T;

test('collections and plain objects are copied, whatever their depth; sharing and cycles stay', () => {
  const leaf = { list: [1, 'two', null, undefined, true] };
  const value = { a: leaf, b: [leaf, new Map([[leaf, new Set([leaf])]])], self: null as unknown };
  value.self = value;
  const copy = copyOf(value);
  expect(copy).not.toBe(value);
  expect(copy.self).toBe(copy);
  expect(copy.b[0]).toBe(copy.a);
  expect(copy.a).not.toBe(leaf);
  expect(copy.a).toEqual(leaf);
  const [[key, set]] = [...(copy.b[1] as Map<unknown, Set<unknown>>)];
  expect(key).toBe(copy.a);
  expect(set.has(copy.a)).toBe(true);
});

test('functions and instances of other classes are passed on', () => {
  const value = { f: () => 1, shared: new Shared(), typed: new Float32Array(2) };
  const copy = copyOf(value);
  expect(copy.f).toBe(value.f);
  expect(copy.shared).toBe(value.shared);
  expect(copy.typed).toBe(value.typed);
});

test('an instance that counts as a module keeps its class', () => {
  const original = new Copied(ones([1]));
  const copy = copyOf(original);
  expect(copy).toBeInstanceOf(Copied);
  expect(copy.inner).not.toBe(original.inner);
});

test('tensors keep role, dtype and gradient flag, in memory of their own', () => {
  const parameter = new Parameter(ones([2]), false);
  const statistic = buffer(tensor([1, 2], { dtype: 'int64' }));
  const plain = tensor([3], { requiresGrad: true });
  const copies = copyOf([parameter, statistic, plain] as const);
  expect(copies[0]).toBeInstanceOf(Parameter);
  expect(copies.map(({ role, requiresGrad, kept }) => [role, requiresGrad, kept])).toEqual([
    ['parameter', false, true],
    ['buffer', false, true],
    [null, true, false],
  ]);
  expect(copies.map((copy) => copy.tolist())).toEqual([[1, 1], [1, 2], [3]]);
  parameter.zero_();
  expect(copies[0].tolist()).toEqual([1, 1]);
});
