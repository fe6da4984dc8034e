import { init } from '../../lib/nn';
import { manualSeed, zeros } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { Parameter, type Tensor } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

beforeEach(() => manualSeed(9));

/** Fills a weight [40, 30, 2, 2], so that fanIn is 120 and fanOut 160. */
const filled = (fill: (tensor: Tensor) => Tensor) => fill(new Parameter(zeros([40, 30, 2, 2])));

function expectUniform(tensor: Tensor, bound: number): void {
  const largest = tensor.absmax().item();
  expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-6));
  expect(largest).toBeGreaterThan(0.99 * bound);
  expectDeviation(tensor, bound / Math.sqrt(3));
}

/** 4,800 values; their deviation is known to about 1 %, of which five are allowed. */
function expectDeviation(tensor: Tensor, deviation: number): void {
  expect(Math.abs(Math.sqrt(tensor.square().mean().item()) / deviation - 1)).toBeLessThan(0.052);
}

test('bounds and deviations follow the papers', () => {
  expectUniform(
    filled((t) => init.kaimingUniform_(t)),
    Math.sqrt(6 / 120),
  );
  expectUniform(
    filled((t) => init.kaimingUniform_(t, { a: Math.sqrt(5), mode: 'fanOut' })),
    Math.sqrt(1 / 160),
  );
  expectUniform(
    filled((t) => init.xavierUniform_(t, 2)),
    2 * Math.sqrt(6 / 280),
  );
  expectDeviation(
    filled((t) => init.kaimingNormal_(t, { mode: 'fanOut' })),
    Math.sqrt(2 / 160),
  );
  const shifted = filled((t) => init.normal_(t, 3, 0.5));
  expect(Math.abs(shifted.mean().item() - 3)).toBeLessThan((5 * 0.5) / Math.sqrt(4800));
});

test('they fill in place, in the dtype of the tensor, and leave nothing behind', () => {
  const parameter = new Parameter(zeros([4, 4], { dtype: 'bfloat16' }));
  const before = settledMemory().tensors;
  expect(init.uniform_(parameter, 2, 3)).toBe(parameter);
  expect(memory().tensors).toBe(before);
  expect([parameter.dtype, parameter.min().item() >= 2, parameter.max().item() <= 3]).toEqual(['bfloat16', true, true]);
  init.ones_(parameter);
  expect(parameter.sum().item()).toBe(16);
  init.zeros_(parameter);
  expect(parameter.sum().item()).toBe(0);
  expect(parameter.requiresGrad).toBe(true);
});

test('a vector has no fans', () => {
  expect(codeOf(() => init.kaimingUniform_(zeros([3])))).toBe('SHAPE_MISMATCH');
});
