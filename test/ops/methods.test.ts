import * as ops from '../../lib/ops';
import { Tensor } from '../../lib/tensor/tensor';

const { tensor } = ops;
const x = () => tensor([[1, -2, 3], [4, 5, -6]]); // prettier-ignore
const index = () => tensor([1, 0], { dtype: 'int64' });

test('methods are the functions with the tensor first', () => {
  expect(x().relu().sum(1).tolist()).toEqual([4, 9]);
  expect(x().sum().item()).toBe(5);
  expect(
    x()
      .sum({ axis: [0, 1], keepdim: true })
      .tolist(),
  ).toEqual([[5]]);
  expect(x().mean([0]).tolist()).toEqual([2.5, 1.5, -1.5]);
  expect(x().max(-1).tolist()).toEqual([3, 5]);
  expect(x().argmax(1).tolist()).toEqual([2, 1]);
  expect(x().add(1).mul(x()).tolist()).toEqual([[2, 2, 12], [20, 30, 30]]); // prettier-ignore
  expect(x().matmul(x().t()).tolist()).toEqual([[14, -24], [-24, 77]]); // prettier-ignore
  expect(x().linear(x(), tensor([1, 2])).tolist()).toEqual([[15, -22], [-23, 79]]); // prettier-ignore
  expect(x().reshape(3, 2).tolist()).toEqual([[1, -2], [3, 4], [5, -6]]); // prettier-ignore
  expect(x().reshape([-1]).shape).toEqual([6]);
  expect(x().permute(1, 0).shape).toEqual([3, 2]);
  expect(x().indexSelect(0, index()).tolist()).toEqual([[4, 5, -6], [1, -2, 3]]); // prettier-ignore
  expect(x().topk(1).indices.tolist()).toEqual([[2], [1]]);
  expect(x().var({ axis: 0, correction: 0 }).tolist()).toEqual([2.25, 12.25, 20.25]);
});

test('cat, stack and where read the tensor as their first operand', () => {
  expect(x().cat([x(), x()]).shape).toEqual([6, 3]);
  expect(x().cat([x()], 1).shape).toEqual([2, 6]);
  expect(x().stack([x()], -1).shape).toEqual([2, 3, 2]);
  expect(x().where(x().gt(0), 0).tolist()).toEqual([[1, 0, 3], [4, 5, 0]]); // prettier-ignore
});

test('writes in place return the tensor itself', () => {
  const y = x();
  expect(y.add_(1)).toBe(y);
  expect(y.mul_(2).fill_(3).zero_().copy_(x())).toBe(y);
  expect(y.tolist()).toEqual(x().tolist());
});

test('methods are not enumerable, so walking over a tensor finds its own properties alone', () => {
  const names: string[] = [];
  for (const name in x()) names.push(name);
  expect(names).not.toContain('add');
  expect(typeof Tensor.prototype.add).toBe('function');
});

test('every op that takes one tensor or two is a method too', () => {
  const functions = Object.keys(ops.ops).filter((name) => name in ops);
  const elsewhere = ['embedding', 'batchNorm', 'dropout', 'binaryCrossEntropyWithLogits'];
  expect(functions.filter((name) => !(name in Tensor.prototype))).toEqual(expect.arrayContaining(elsewhere));
  expect(functions.filter((name) => !(name in Tensor.prototype))).toHaveLength(elsewhere.length);
});
