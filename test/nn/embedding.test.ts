import { Embedding } from '../../lib/nn';
import { manualSeed, tensor } from '../../lib/ops';
import { codeOf } from '../harness/errors';

test('gives rows of its table; the gradient adds up where a row came twice', () => {
  const layer = new Embedding(4, 2);
  const index = tensor([[3, 1], [3, 0]], { dtype: 'int64' }); // prettier-ignore
  const table = layer.weight.tolist() as number[][];
  const out = layer.forward(index);
  expect(out.tolist()).toEqual([[table[3], table[1]], [table[3], table[0]]]); // prettier-ignore
  out.sum().backward();
  expect(layer.weight.grad?.tolist()).toEqual([[1, 1], [1, 1], [0, 0], [2, 2]]); // prettier-ignore
  expect(Object.keys(layer.stateDict())).toEqual(['weight']);
});

test('starts standard normal', () => {
  manualSeed(2);
  const { weight } = new Embedding(100, 100);
  // The mean of 10,000 numbers has deviation 0.01, that of their squares 0.0142; five of them are allowed.
  expect(Math.abs(weight.mean().item())).toBeLessThan(0.05);
  expect(Math.abs(weight.square().mean().item() - 1)).toBeLessThan(0.071);
});

test('an index beyond the table fails where the result is read', () => {
  expect(codeOf(() => new Embedding(4, 2).forward(tensor([4], { dtype: 'int64' })).tolist())).toBe('INDEX_OUT_OF_RANGE');
  expect(codeOf(() => new Embedding(0, 2))).toBe('INVALID_ARGUMENT');
});
