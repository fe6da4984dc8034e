import { functional as F } from '../../lib/nn';
import { ones, tensor } from '../../lib/ops';

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
