import { filledParameter, parameter, requireLayerDType, requireSizes, uniformParameter } from '../../lib/nn/layer';
import { ones } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { codeOf, errorOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

test('a parameter takes over its values', () => {
  const before = settledMemory().tensors;
  const values = ones([2]);
  const made = parameter(values);
  expect([values.isDisposed, made.requiresGrad, memory().tensors]).toEqual([true, true, before + 1]);
  made.dispose();
  expect(memory().tensors).toBe(before);
});

test('fills', () => {
  expect(filledParameter([2], 3, { dtype: 'bfloat16' }).dtype).toBe('bfloat16');
  const values = uniformParameter([1000], 0.5, {}).tolist() as number[];
  expect(values.every((value) => value >= -0.5 && value < 0.5)).toBe(true);
  expect(Math.max(...values)).toBeGreaterThan(0.48);
  expect(Math.min(...values)).toBeLessThan(-0.48);
});

test('sizes are integers of at least 1, dtypes are floating-point', () => {
  requireSizes('Layer', { width: 1, height: 3 });
  for (const width of [0, -1, 1.5, NaN, Infinity]) expect(codeOf(() => requireSizes('Layer', { width }))).toBe('INVALID_ARGUMENT');
  expect(errorOf(() => requireSizes('Layer', { width: 0 })).message).toMatch(
    /\[Layer\] expected width to be an integer of at least 1 but got 0/,
  );
  expect(codeOf(() => requireLayerDType('Layer', { dtype: 'int8' }))).toBe('DTYPE_MISMATCH');
});
