import { ops, tensor, zeros } from '../../lib/ops';
import { apply, type Op, requireTensor } from '../../lib/tensor/op';
import { type Tensor } from '../../lib/tensor/tensor';
import { noGrad } from '../../lib/tensor/grad-mode';
import { expectError } from '../harness/errors';

/** y = factor * x, with a gradient that can be watched. */
function scaled(): { op: Op<number>; calls: number[] } {
  const calls: number[] = [];
  const op: Op<number> = {
    name: 'scaled',
    forward: ([x], factor) => noGrad(() => x.mul(factor)),
    vjp: (dy, _, { attributes, inputs }) => {
      calls.push(inputs[0].shape.length);
      return [() => dy.mul(attributes)];
    },
  };
  return { op, calls };
}

test('an op of a user computes and has a gradient', () => {
  const { op, calls } = scaled();
  const x = tensor([1, 2], { requiresGrad: true });
  const y = apply(op, [x], 3);
  expect(y.tolist()).toEqual([3, 6]);
  y.sum().backward();
  expect(x.grad?.tolist()).toEqual([3, 3]);
  expect(calls).toEqual([1]);
});

test('nothing is recorded where nobody asks: no operand, noGrad, or integers', () => {
  const { op } = scaled();
  const x = tensor([1, 2], { requiresGrad: true });
  expect(apply(op, [tensor([1])], 2).requiresGrad).toBe(false);
  expect(noGrad(() => apply(op, [x], 2).requiresGrad)).toBe(false);
  expect(x.to('int32').requiresGrad).toBe(false);
  expect(x.gt(1).requiresGrad).toBe(false);
  expect(x.argmax().requiresGrad).toBe(false);
  expect(x.detach().requiresGrad).toBe(false);
});

test('the gradient of an operand that needs none is not computed', () => {
  const asked: number[] = [];
  const op: Op = {
    name: 'watched',
    forward: ([a, b]) => noGrad(() => a.add(b)),
    vjp: (dy) => [0, 1].map((i) => () => (asked.push(i), dy)),
  };
  const x = tensor([1], { requiresGrad: true });
  apply(op, [tensor([1]), x], undefined).backward();
  expect(asked).toEqual([1]);
});

test('results that only backward reads are saved, and not left behind', () => {
  let extra: Tensor | undefined;
  const op: Op = {
    name: 'withExtra',
    forward: ([x]) => ({ output: x.share(), extras: [(extra = tensor([5]))] }),
    save: (_inputs, _output, [saved]) => [saved],
    vjp: (dy, [saved]) => [() => dy.mul(saved)],
  };
  const x = tensor([1], { requiresGrad: true });
  const y = apply(op, [x], undefined);
  expect(extra?.isDisposed).toBe(true);
  y.backward();
  expect(x.grad?.item()).toBe(5);
});

test('operands that are no tensors are refused, with the name of the op', () => {
  expectError(() => apply(scaled().op, ['x' as never], 1), 'INVALID_ARGUMENT', /^\[scaled\] expected a Tensor but got x/);
  expectError(() => requireTensor('name', undefined), 'INVALID_ARGUMENT', /^\[name\]/);
  const one = zeros([1]);
  expect(requireTensor('name', one)).toBe(one);
});

test('every op of the registry says its name and whether it has a gradient', () => {
  for (const [name, op] of Object.entries(ops)) {
    expect(op.name).toBe(name);
    expect(op.vjp === null || typeof op.vjp === 'function').toBe(true);
  }
});
