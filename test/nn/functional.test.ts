import { functional as F } from '../../lib/nn';
import { full, ones, tensor } from '../../lib/ops';

test('normalize divides by the norm, or by eps where that is smaller', () => {
  const src = tensor([[3, 4], [0, 0]], { requiresGrad: true }); // prettier-ignore
  const out = F.normalize(src);
  expect(out.allclose(tensor([[0.6, 0.8], [0, 0]]))).toBe(true); // prettier-ignore
  expect(F.normalize(src, { axis: 0 }).allclose(tensor([[1, 1], [0, 0]]))).toBe(true); // prettier-ignore
});

test('normalize has the gradient of its definition', () => {
  const src = tensor([3, 4], { requiresGrad: true });
  F.normalize(src).select(0, 0).backward();
  // d(x / |x|) / dx = (|x|^2 - x^2) / |x|^3 and -x y / |x|^3.
  expect(src.grad?.allclose(tensor([16 / 125, -12 / 125]), { atol: 1e-6 })).toBe(true);
});

test('the names of the public interface are there', () => {
  const names = ['linear', 'conv2d', 'layerNorm', 'rmsNorm', 'softmax', 'logSoftmax', 'relu', 'gelu', 'silu', 'dropout', 'embedding'];
  names.push('crossEntropy', 'nllLoss', 'mseLoss', 'scaledDotProductAttention', 'intMatmul', 'pad', 'maxPool2d', 'avgPool2d');
  expect(names.filter((name) => typeof (F as Record<string, unknown>)[name] !== 'function')).toEqual([]);
});

test('intMatmul is exact', () => {
  const [a, b] = [ones([2, 300], { dtype: 'int8' }).mul(-128), ones([300, 2], { dtype: 'int8' }).mul(127)];
  const product = F.intMatmul(a, b);
  expect([product.dtype, product.tolist()]).toEqual(['int32', [[-4876800, -4876800], [-4876800, -4876800]]]); // prettier-ignore
});

test('normalize of nothing but zeros has the slope of a division by eps', () => {
  const src = tensor([[0, 0], [3, 4]], { requiresGrad: true }); // prettier-ignore
  F.normalize(src, { eps: 0.5 }).sum().backward();
  const [zeros, others] = src.grad?.tolist() as number[][];
  expect(zeros).toEqual([2, 2]);
  expect(others[0]).toBeCloseTo(4 / 125, 6);
  expect(others[1]).toBeCloseTo(-3 / 125, 6);
});

test('normalize of float16 squares in float32', () => {
  const of = (value: number, count: number) =>
    F.normalize(full([count], value, { dtype: 'float16' }))
      .to('float32')
      .tolist() as number[];
  expect(of(300, 300)[0]).toBeCloseTo(1 / Math.sqrt(300), 4);
  expect(of(1e-5, 4)[0]).toBeCloseTo(0.5, 3);
});
