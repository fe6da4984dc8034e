import { AbsmaxOptimizer, HqqOptimizer, manualSeed, MaxOptimizer, ones, qint2, qint4, quantizeWeight, randn, tensor } from '../../lib';
import { isAffine } from '../../lib/qtensor/optimizers';
import { codeOf } from '../harness/errors';

const rows = tensor([
  [-1, 0, 2],
  [3, 4, 6],
  [5, 5, 5],
]);

describe('MaxOptimizer', () => {
  it('spans the values of each group', () => {
    const { scale, shift } = new MaxOptimizer().scaleAndShift(rows, qint2, 0);
    expect(scale.tolist()).toEqual([[1], [1], [0]]);
    expect(shift.tolist()).toEqual([[1], [-3], [-5]]);
  });

  it('does so along the last axis', () => {
    const { scale, shift } = new MaxOptimizer().scaleAndShift(rows, qint2, -1);
    expect(scale.tolist()).toEqual([[2, Math.fround(5 / 3), Math.fround(4 / 3)]]);
    expect(shift.tolist()).toEqual([[1, -0, -2]]);
  });

  it('with a zero point has zero among the codes', () => {
    const { scale, shift } = new MaxOptimizer({ zeroPoint: true }).scaleAndShift(rows, qint2, 0);
    expect(scale.tolist()).toEqual([[1], [2], [Math.fround(5 / 3)]]);
    expect(shift.dtype).toBe('uint8');
    expect(shift.tolist()).toEqual([[1], [0], [0]]);
  });

  it('takes the finite values', () => {
    const { scale, shift } = new MaxOptimizer().scaleAndShift(tensor([[NaN, -1, 2, Infinity]]), qint2, 0);
    expect([scale.item(), shift.item()]).toEqual([1, 1]);
  });
});

describe('HqqOptimizer', () => {
  // The values of semantics.md: an iteration that helps is kept, one that does not ends the search.
  it('ends where the error stops falling', () => {
    const w = tensor(
      Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i + 1)),
      { shape: [16, 64] },
    );
    const errorOf = (qtype: typeof qint2, optimizer?: HqqOptimizer) =>
      quantizeWeight(w, { qtype, groupSize: 32, optimizer }).dequantize().sub(w).abs().mean().item();
    expect(errorOf(qint2)).toBeCloseTo(0.1383571, 6);
    expect(errorOf(qint2, new HqqOptimizer())).toBeCloseTo(0.1383268, 6);
    expect(errorOf(qint4)).toBeCloseTo(0.0301171, 6);
    expect(errorOf(qint4, new HqqOptimizer())).toBe(errorOf(qint4));
  });

  it('is never worse than MaxOptimizer', () => {
    manualSeed(1);
    const w = randn([8, 96]).pow(3);
    const errors = [new MaxOptimizer(), new HqqOptimizer({ iterations: 0 }), new HqqOptimizer(), new HqqOptimizer({ lpNorm: 1 })].map(
      (optimizer) => quantizeWeight(w, { qtype: qint2, groupSize: 32, optimizer }).dequantize().sub(w).abs().mean().item(),
    );
    expect(errors[1]).toBe(errors[0]);
    expect(errors[2]).toBeLessThan(errors[0]);
    expect(errors[3]).toBeLessThan(errors[0]);
  });

  it.each([{ lpNorm: 0 }, { lpNorm: 2 }, { beta: 0 }, { kappa: NaN }, { iterations: -1 }])('refuses %j', (options) => {
    expect(codeOf(() => new HqqOptimizer(options))).toBe('INVALID_ARGUMENT');
  });
});

test('optimizers are told apart by what they give', () => {
  expect([new MaxOptimizer(), new HqqOptimizer()].map(isAffine)).toEqual([true, true]);
  expect(isAffine(new AbsmaxOptimizer())).toBe(false);
  expect(codeOf(() => quantizeWeight(ones([2, 4]), { qtype: qint4, optimizer: new AbsmaxOptimizer() }))).toBe('INVALID_ARGUMENT');
});
