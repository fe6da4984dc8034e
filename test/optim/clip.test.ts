import { tensor } from '../../lib/ops';
import { clipGradNorm } from '../../lib/optim';
import { tidy } from '../../lib/tensor/scope';
import { Parameter } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';

function withGradient(gradient: number[], dtype: 'float32' | 'float16' = 'float32'): Parameter {
  const parameter = new Parameter(tensor(gradient, { dtype }));
  parameter.grad = tensor(gradient, { dtype });
  return parameter;
}

const valuesOf = (parameter: Parameter) => [...(parameter.grad!.dataSync() as Float32Array)];

test('a norm above the limit is scaled down to it, over all gradients together', () => {
  const [a, b, without] = [withGradient([3, 0]), withGradient([0, 4]), new Parameter(tensor([1]))];
  const before = a.grad!;
  expect(clipGradNorm([a, b, without], 1).item()).toBe(5);
  expect(valuesOf(a)[0]).toBeCloseTo(0.6, 6);
  expect(valuesOf(b)[1]).toBeCloseTo(0.8, 6);
  expect(without.grad).toBeNull();
  expect(before.isDisposed).toBe(true);
});

test('a norm below the limit changes nothing', () => {
  const a = withGradient([3, 4]);
  expect(clipGradNorm([a], 10).item()).toBe(5);
  expect(valuesOf(a)).toEqual([3, 4]);
});

test('the norm of float16 gradients does not overflow, and they stay float16', () => {
  const a = withGradient([300, 400], 'float16');
  expect(clipGradNorm([a], 100).item()).toBe(500);
  expect(a.grad!.dtype).toBe('float16');
});

test('gradients survive a tidy around the clipping', () => {
  const a = withGradient([3, 4]);
  tidy(() => void clipGradNorm([a], 1));
  expect(valuesOf(a)[0]).toBeCloseTo(0.6, 6);
});

test('no gradient at all has norm 0; a limit below 0 is refused', () => {
  expect(clipGradNorm([new Parameter(tensor([1]))], 1).item()).toBe(0);
  expect(codeOf(() => clipGradNorm([], -1))).toBe('INVALID_ARGUMENT');
});
