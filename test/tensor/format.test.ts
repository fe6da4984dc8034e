import { inspect } from 'node:util';

import { arange, full, tensor, zeros } from '../../lib/ops';
import { formatTensor } from '../../lib/tensor/format';

test('rows line up, as PyTorch prints them', () => {
  expect(
    formatTensor(
      tensor([
        [1, -2.5],
        [10, 0.25],
      ]),
    ),
  ).toBe(
    // prettier-ignore
    'tensor([[ 1.0000, -2.5000],\n        [10.0000,  0.2500]], shape=[2, 2], dtype=float32)',
  );
});

test('integers and booleans have no decimals', () => {
  expect(String(tensor([1, -20], { dtype: 'int8' }))).toBe('tensor([  1, -20], shape=[2], dtype=int8)');
  expect(String(tensor([true, false]))).toBe('tensor([1, 0], shape=[2], dtype=bool)');
});

test('numbers of very different sizes are scientific; infinity and NaN have names', () => {
  expect(String(tensor([1e-6, 1]))).toContain('1.0000e-6');
  expect(String(tensor([1, Infinity, -Infinity, NaN]))).toBe('tensor([1.0000,    inf,   -inf,    nan], shape=[4], dtype=float32)');
});

test('a number, nothing, and narrow floats', () => {
  expect(String(tensor(2))).toBe('tensor(2.0000, shape=[], dtype=float32)');
  expect(String(zeros([0, 2]))).toBe('tensor([], shape=[0, 2], dtype=float32)');
  expect(String(tensor([1.5], { dtype: 'bfloat16' }))).toBe('tensor([1.5000], shape=[1], dtype=bfloat16)');
});

test('long tensors show their ends', () => {
  const text = String(arange(2000));
  expect(text).toContain('[   0,    1,    2, ..., 1997, 1998, 1999]');
  expect(String(full([2, 600], 1)).split('...')).toHaveLength(3);
  expect(String(full([600, 2], 1)).split('\n').length).toBeLessThan(10);
});

test('it says when a gradient is wanted, and prints what was disposed', () => {
  const x = tensor([1], { requiresGrad: true });
  expect(String(x)).toBe('tensor([1.0000], shape=[1], dtype=float32, requiresGrad)');
  expect(inspect(x)).toBe(String(x));
  x.dispose();
  expect(String(x)).toBe('Tensor(disposed)');
});
