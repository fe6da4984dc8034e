import { batchNorm, layerNorm, logSoftmax, ones, randn, rmsNorm, softmax, tensor, zeros } from '../../lib/ops';
import { isGradEnabled, noGrad } from '../../lib/tensor/grad-mode';
import { normCases, normFailures } from '../cases/norm';
import { runCases } from '../harness/run-cases';

runCases(normCases, normFailures);

test('softmax of large and of infinite numbers', () => {
  expect(softmax(tensor([1000, 1000])).tolist()).toEqual([0.5, 0.5]);
  expect(softmax(tensor([-Infinity, 3])).tolist()).toEqual([0, 1]);
  expect(logSoftmax(tensor([-1000, 0])).tolist()).toEqual([-1000, 0]);
});

test('equal numbers normalize to the bias, or stay themselves under rmsNorm', () => {
  const x = ones([2, 8]).mul(5);
  expect(layerNorm(x, [8], null, ones([8])).tolist()).toEqual([Array(8).fill(1), Array(8).fill(1)]);
  expect(rmsNorm(x).allclose(ones([2, 8]))).toBe(true);
  expect(rmsNorm(zeros([1, 4])).tolist()).toEqual([[0, 0, 0, 0]]);
});

describe('running statistics', () => {
  const x = () => tensor([[1, 10], [3, 30]]); // prettier-ignore

  test('training moves them towards the batch, the variance without bias', () => {
    const [mean, variance] = [zeros([2]), ones([2])];
    batchNorm(x(), mean, variance, { training: true, momentum: 0.5 });
    expect(mean.tolist()).toEqual([1, 10]);
    expect(variance.tolist()).toEqual([0.5 + 1, 0.5 + 100]);
  });

  test('evaluation reads them, and changes nothing', () => {
    const [mean, variance] = [tensor([1, 10]), tensor([4, 100])];
    const y = batchNorm(x(), mean, variance, { eps: 0 });
    expect(y.tolist()).toEqual([[0, 0], [1, 2]]); // prettier-ignore
    expect([mean.tolist(), variance.tolist()]).toEqual([[1, 10], [4, 100]]); // prettier-ignore
  });

  test('without them the batch is normalized by itself', () => {
    expect(batchNorm(x(), null, null, { eps: 0 }).tolist()).toEqual([[-1, -1], [1, 1]]); // prettier-ignore
  });

  test('they keep a narrow dtype, and their update is not recorded', () => {
    const [mean, variance] = [zeros([2], { dtype: 'float16' }), ones([2], { dtype: 'float16' })];
    const src = randn([4, 2], { requiresGrad: true });
    batchNorm(src, mean, variance, { training: true }).sum().backward();
    expect([mean.dtype, variance.dtype, mean.requiresGrad, isGradEnabled()]).toEqual(['float16', 'float16', false, true]);
    expect(src.grad?.shape).toEqual([4, 2]);
  });

  test('an evaluation before a training step keeps its gradient right', () => {
    const [mean, variance, weight] = [zeros([2]), ones([2]), ones([2], { requiresGrad: true })];
    const y = batchNorm(x(), mean, variance, { weight });
    noGrad(() => batchNorm(x(), mean, variance, { training: true }));
    // The statistics that the gradient reads were written to, and a wrong gradient would be worse than an error.
    expect(() => y.sum().backward()).toThrow(/changed in place/);
  });
});
