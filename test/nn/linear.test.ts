import { Linear } from '../../lib/nn';
import { manualSeed, ones, tensor } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import { codeOf } from '../harness/errors';

test('multiplies by the transposed weight and adds the bias', () => {
  const layer = new Linear(3, 2);
  noGrad(() => {
    layer.weight.copy_(tensor([[1, 2, 3], [0, -1, 0.5]])); // prettier-ignore
    layer.bias?.copy_(tensor([10, 20]));
  });
  expect(layer.forward(tensor([[[1, 1, 2]]])).tolist()).toEqual([[[19, 20]]]);
  expect(layer.forward(tensor([1, 0, 0])).tolist()).toEqual([11, 20]);
});

test('starts uniform in +-1/sqrt(inFeatures)', () => {
  manualSeed(1);
  const layer = new Linear(100, 200);
  for (const [state, count] of [
    [layer.weight, 20000],
    [layer.bias!, 200],
  ] as const) {
    expect(state.absmax().item()).toBeLessThanOrEqual(0.1);
    // The root mean square of n uniform numbers in +-b is b / sqrt(3) with a deviation of b / sqrt(15 n); five of them are allowed.
    expect(Math.abs(Math.sqrt(state.square().mean().item()) - 0.1 / Math.sqrt(3))).toBeLessThan((5 * 0.1) / Math.sqrt(15 * count));
  }
});

test('has PyTorch names; no bias on demand', () => {
  expect(Object.keys(new Linear(2, 3).stateDict())).toEqual(['weight', 'bias']);
  expect(Object.keys(new Linear(2, 3, { bias: false }).stateDict())).toEqual(['weight']);
  expect(new Linear(2, 3).weight.shape).toEqual([3, 2]);
  expect(String(new Linear(2, 3))).toBe('Linear(inFeatures=2, outFeatures=3, bias=true)');
});

test('gradients of weight and bias', () => {
  const layer = new Linear(2, 2);
  layer.forward(tensor([[1, 2], [3, 4]])).sum().backward(); // prettier-ignore
  expect(layer.weight.grad?.tolist()).toEqual([[4, 6], [4, 6]]); // prettier-ignore
  expect(layer.bias?.grad?.tolist()).toEqual([2, 2]);
});

test('wrong sizes and dtypes are refused', () => {
  expect(codeOf(() => new Linear(0, 1))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Linear(1, 2.5))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Linear(1, 1, { dtype: 'int8' }))).toBe('DTYPE_MISMATCH');
  expect(codeOf(() => new Linear(3, 1).forward(ones([2, 4])))).toBe('SHAPE_MISMATCH');
});
