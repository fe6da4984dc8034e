import { add_, copy_, fill_, full, mul_, tensor, zero_, zeros } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import { expectError } from '../harness/errors';

test('writes change the tensor and every view of it', () => {
  const x = tensor([[1, 2], [3, 4]]); // prettier-ignore
  const row = x.select(0, 1);
  fill_(row, 7);
  expect(x.tolist()).toEqual([[1, 2], [7, 7]]); // prettier-ignore
  add_(x.t(), tensor([10, 20]));
  expect(x.tolist()).toEqual([[11, 12], [27, 27]]); // prettier-ignore
  zero_(x);
  expect(row.tolist()).toEqual([0, 0]);
});

test('sources broadcast and are converted', () => {
  const x = zeros([2, 3], { dtype: 'int8' });
  copy_(x, tensor([1.9, -2.5, 300]));
  expect(x.tolist()).toEqual([[1, -2, 127], [1, -2, 127]]); // prettier-ignore
  mul_(x, 2);
  add_(x, tensor([1]));
  expect(x.select(0, 0).tolist()).toEqual([3, -3, -1]);
});

test('a source that overlaps the destination is read before it is written', () => {
  const x = tensor([1, 2, 3, 4, 5]);
  copy_(x.slice(0, 1), x.slice(0, 0, 4));
  expect(x.tolist()).toEqual([1, 1, 2, 3, 4]);
  const y = tensor([[1, 2], [3, 4]]); // prettier-ignore
  add_(y, y.t());
  expect(y.tolist()).toEqual([[2, 5], [5, 8]]); // prettier-ignore
});

test('an operand that requires a gradient is refused outside noGrad', () => {
  const leaf = tensor([1, 2], { requiresGrad: true });
  const computed = leaf.mul(2);
  for (const write of [
    () => add_(leaf, 1),
    () => fill_(computed, 0),
    () => zero_(leaf),
    () => copy_(zeros([2]), computed),
    () => mul_(zeros([2]), leaf),
  ]) {
    expectError(write, 'AUTOGRAD', /noGrad/);
  }
  noGrad(() => add_(leaf, 1));
  expect(leaf.tolist()).toEqual([2, 3]);
  expect(leaf.requiresGrad).toBe(true);
});

test('shapes that do not fit are refused', () => {
  expectError(() => add_(zeros([2]), zeros([3])), 'SHAPE_MISMATCH', /\[add_\]/);
  expectError(() => copy_(zeros([2]), zeros([2, 2])), 'SHAPE_MISMATCH');
  expectError(() => add_(zeros([2]), 'x' as never), 'INVALID_ARGUMENT');
  expectError(() => fill_(undefined as never, 1), 'INVALID_ARGUMENT');
});

test('an expanded destination is refused, for its elements share memory', () => {
  const x = full([1], 1).expand(3);
  for (const write of [() => add_(x, 1), () => fill_(x, 2), () => copy_(x, zeros([3])), () => mul_(x, 2)]) {
    expectError(write, 'INVALID_ARGUMENT', /contiguous/);
  }
});
