import { add, cat, eye, full, matmul, mul, ones, tensor, where, zeros } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { enableGrad, noGrad } from '../../lib/tensor/grad-mode';
import { tidy } from '../../lib/tensor/scope';
import { Parameter, type Tensor } from '../../lib/tensor/tensor';
import { expectError } from '../harness/errors';
import { collectGarbage } from '../harness/garbage';
import { settledMemory } from '../harness/memory';

const gradientOf = (src: Tensor) => src.grad?.tolist();
const leaf = (values: number[]) => tensor(values, { requiresGrad: true });

describe('accumulation', () => {
  test('gradients add up over backward passes and over uses', () => {
    const x = leaf([1, 2]);
    mul(x, x).sum().backward();
    expect(x.grad?.tolist()).toEqual([2, 4]);
    x.mul(3).sum().backward();
    expect(x.grad?.tolist()).toEqual([5, 7]);
    x.grad = null;
    x.sum().backward();
    expect(gradientOf(x)).toEqual([1, 1]);
  });

  test('a diamond visits each op once', () => {
    const x = leaf([3]);
    const y = x.mul(2);
    const [left, right] = [y.mul(5), y.square()];
    add(left, right).backward();
    // d/dx (10 x + 4 x^2)
    expect(x.grad?.item()).toBe(10 + 8 * 3);
  });

  test('a chain of diamonds takes time linear in its length', () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 60; i++) y = y.mul(0.5).add(y.mul(0.5));
    y.backward();
    // 2^60 paths lead back.
    expect(x.grad?.item()).toBe(1);
  });

  test('two leaves never share the memory of a gradient', () => {
    const [a, b] = [leaf([1]), leaf([2])];
    add(a, b).backward();
    noGrad(() => a.grad?.add_(10));
    expect(b.grad?.item()).toBe(1);
  });

  test('a gradient that a user passes is not written to', () => {
    const x = leaf([1, 2]);
    const given = tensor([5, 6]);
    x.mul(1).backward(given);
    noGrad(() => x.grad?.zero_());
    expect(given.tolist()).toEqual([5, 6]);
    const y = leaf([1, 2]);
    y.backward(given);
    noGrad(() => y.grad?.zero_());
    expect(given.tolist()).toEqual([5, 6]);
  });

  test('broadcast operands receive sums, in their own shape and dtype', () => {
    const row = tensor([[1, 2, 3]], { requiresGrad: true, dtype: 'float16' });
    const column = tensor([[1], [2]], { requiresGrad: true });
    mul(row, column).sum().backward();
    expect(row.grad?.tolist()).toEqual([[3, 3, 3]]);
    expect(row.grad?.dtype).toBe('float16');
    expect(column.grad?.tolist()).toEqual([[6], [6]]);
  });

  test('gradients are row-major, however they arrive', () => {
    const x = tensor([[1, 2, 3], [4, 5, 6]], { requiresGrad: true }); // prettier-ignore
    x.t().mul(tensor([[1, 2], [3, 4], [5, 6]])).sum().backward(); // prettier-ignore
    expect(x.grad?.tolist()).toEqual([[1, 3, 5], [2, 4, 6]]); // prettier-ignore
    expect(() => x.grad?.view(6)).not.toThrow();
  });
});

describe('backward', () => {
  test('a tensor of more than one element needs a gradient of its shape', () => {
    const x = leaf([1, 2]);
    expectError(() => x.mul(2).backward(), 'AUTOGRAD', /\[backward\] expected a gradient for a tensor of shape \[2\]/);
    expectError(() => x.mul(2).backward(ones([3])), 'SHAPE_MISMATCH', /\[2\].*\[3\]/);
    x.mul(2).backward(tensor([10, 100]));
    expect(x.grad?.tolist()).toEqual([20, 200]);
  });

  test('a tensor without history is refused', () => {
    expectError(() => tensor([1]).backward(), 'AUTOGRAD', /no gradient history/);
    expectError(() => noGrad(() => leaf([1]).mul(2)).backward(), 'AUTOGRAD');
  });

  test('a second backward through freed state is refused; retainGraph keeps it', () => {
    const x = leaf([2]);
    const y = x.square();
    const z = y.mul(3);
    z.backward(undefined, { retainGraph: true });
    z.backward();
    expect(x.grad?.item()).toBe(24);
    expectError(() => z.backward(), 'AUTOGRAD', /\[mul\] backward went through this part of the graph before.*retainGraph/);
    expectError(() => y.mul(1).backward(), 'AUTOGRAD', /\[square\]/);
    // What was refused has changed nothing.
    expect(x.grad?.item()).toBe(24);
  });

  test('it does not record itself, also inside enableGrad', () => {
    const x = leaf([2]);
    enableGrad(() => x.square().backward());
    expect(x.grad?.requiresGrad).toBe(false);
  });

  test('it runs inside noGrad, on a graph that was recorded outside', () => {
    const x = leaf([2]);
    const y = x.square();
    noGrad(() => y.backward());
    expect(x.grad?.item()).toBe(4);
  });

  test('10,000 ops in a row do not overflow the stack', () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 10_000; i++) y = y.add(1);
    y.backward();
    expect(y.item()).toBe(10_001);
    expect(x.grad?.item()).toBe(1);
  });

  test('10,000 operands of one op are no problem', () => {
    const x = leaf([1, 2]);
    cat(Array.from({ length: 10_000 }, () => x))
      .sum()
      .backward();
    expect(x.grad?.tolist()).toEqual([10_000, 10_000]);
  });

  test('zero and infinity of the other branch do not spoil a gradient', () => {
    const x = leaf([0, 4]);
    where(x.gt(0), x.sqrt(), zeros([2]))
      .sum()
      .backward();
    // The slope of sqrt at 0 is infinite, and 0 * infinity would be NaN in other orders of the product.
    expect((gradientOf(x) as number[])[1]).toBe(0.25);
  });
});

describe('history', () => {
  test('detach shares memory and has no history', () => {
    const x = leaf([1, 2]);
    const y = x.mul(2).detach();
    expect([y.requiresGrad, y.isLeaf]).toEqual([false, true]);
    const alias = x.detach();
    noGrad(() => alias.fill_(9));
    expect(x.tolist()).toEqual([9, 9]);
    x.mul(y).sum().backward();
    expect(x.grad?.tolist()).toEqual([2, 4]);
  });

  test('requiresGrad is for leaves of real dtypes', () => {
    const x = tensor([1, 2]);
    x.requiresGrad = true;
    expect(x.isLeaf).toBe(true);
    const y = x.mul(2);
    expect(y.isLeaf).toBe(false);
    expectError(() => (y.requiresGrad = false), 'AUTOGRAD', /detach/);
    expectError(() => (tensor([1], { dtype: 'int8' }).requiresGrad = true), 'DTYPE_MISMATCH', /int8/);
    x.requiresGrad = false;
    expect(x.mul(2).requiresGrad).toBe(false);
  });

  test('a parameter shares memory with its source, and has none of its history', () => {
    const x = leaf([1]);
    const parameter = new Parameter(x.mul(2));
    expect([parameter.requiresGrad, parameter.isLeaf, parameter.role]).toEqual([true, true, 'parameter']);
    parameter.mul(3).backward();
    expect([parameter.grad?.item(), x.grad]).toEqual([3, null]);
    expect(new Parameter(x, false).requiresGrad).toBe(false);
  });
});

describe('writes in place', () => {
  test('a saved value that changed is refused, through views and shares too', () => {
    for (const change of [(x: Tensor) => x.fill_(0), (x: Tensor) => x.t().fill_(0), (x: Tensor) => x.detach().zero_()]) {
      const x = tensor([[1, 2], [3, 4]], { requiresGrad: true }); // prettier-ignore
      const y = x.square().sum();
      noGrad(() => change(x));
      expectError(() => y.backward(), 'AUTOGRAD', /\[square\] a tensor of shape \[2, 2\].*changed in place.*clone/);
    }
  });

  test('values that backward does not read may change', () => {
    const x = leaf([1, 2]);
    const y = x.add(1).sum();
    noGrad(() => x.fill_(7));
    y.backward();
    expect(x.grad?.tolist()).toEqual([1, 1]);
  });

  test('a change before the op is no change after it', () => {
    const x = leaf([1, 2]);
    noGrad(() => x.fill_(3));
    x.square().sum().backward();
    expect(x.grad?.tolist()).toEqual([6, 6]);
  });
});

describe('memory', () => {
  // Tensors that earlier tests left must not go while these tests count.
  beforeEach(collectGarbage);

  const tensors = () => memory().tensors;

  test('disposing operands and results leaves backward what it needs', () => {
    const w = new Parameter(eye(2));
    const x = tensor([[1, 2]]);
    const y = matmul(x, w);
    const z = y.square();
    const loss = z.sum();
    for (const gone of [x, y, z]) gone.dispose();
    loss.backward();
    expect(w.grad?.tolist()).toEqual([[2, 4], [4, 8]]); // prettier-ignore
  });

  test('a training step frees everything but its state', () => {
    const w = new Parameter(full([16, 16], 0.01));
    const step = () =>
      tidy(() => {
        const x = ones([4, 16]);
        x.matmul(w).relu().softmax().square().mean().backward();
      });
    step();
    const before = settledMemory();
    for (let i = 0; i < 20; i++) step();
    const { tensors: left, bytes } = memory();
    expect([left, bytes]).toEqual([before.tensors, before.bytes]);
  });

  test('backward frees the values that it has used', () => {
    const x = leaf(Array<number>(1000).fill(1));
    const loss = tidy(() => x.square().exp().sum());
    const held = settledMemory().bytes;
    loss.backward();
    // square's x is the leaf's own; exp's result is gone, the gradient came.
    expect(memory().bytes).toBeLessThanOrEqual(held);
  });

  test('an error during backward frees what was made until then', () => {
    const x = leaf([1, 2]);
    const y = x.square();
    const z = y.mul(y).sum();
    noGrad(() => y.detach().fill_(0));
    const before = settledMemory().tensors;
    expectError(() => z.backward(), 'AUTOGRAD');
    expect(tensors()).toBe(before);
    expect(x.grad).toBeNull();
  });
});
