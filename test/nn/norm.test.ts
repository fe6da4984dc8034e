import { BatchNorm2d, LayerNorm, RMSNorm } from '../../lib/nn';
import { manualSeed, ones, randn, tensor } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import type { Tensor } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';

const meanOf = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / values.length;
const varianceOf = (values: readonly number[]) => meanOf(values.map((value) => (value - meanOf(values)) ** 2));
const close = (actual: Tensor, expected: Tensor) => actual.allclose(expected, { atol: 2e-6 });

describe('LayerNorm', () => {
  test('normalizes the last dimensions, then applies weight and bias', () => {
    const layer = new LayerNorm([2, 2], { eps: 1e-3 });
    noGrad(() => {
      layer.weight?.copy_(tensor([[1, 2], [3, 4]])); // prettier-ignore
      layer.bias?.copy_(tensor([[0, 1], [0, 1]])); // prettier-ignore
    });
    const values = [1, 2, 4, 9];
    const expected = values.map((value, i) => ((value - meanOf(values)) / Math.sqrt(varianceOf(values) + 1e-3)) * (i + 1) + (i % 2));
    expect(close(layer.forward(tensor(values).reshape(1, 2, 2)), tensor(expected).reshape(1, 2, 2))).toBe(true);
  });

  test('parameters start at 1 and 0, and may be absent', () => {
    expect(Object.keys(new LayerNorm(3).stateDict())).toEqual(['weight', 'bias']);
    expect(Object.keys(new LayerNorm(3, { bias: false }).stateDict())).toEqual(['weight']);
    expect(Object.keys(new LayerNorm(3, { elementwiseAffine: false }).stateDict())).toEqual([]);
    expect(new LayerNorm(2).weight?.tolist()).toEqual([1, 1]);
    expect(String(new LayerNorm(3))).toBe('LayerNorm([3], eps=0.00001, elementwiseAffine=true)');
    expect(codeOf(() => new LayerNorm([2, 0]))).toBe('INVALID_ARGUMENT');
  });
});

describe('RMSNorm', () => {
  test('divides by the root of the mean square', () => {
    const layer = new RMSNorm(3, { eps: 0.5 });
    noGrad(() => layer.weight?.copy_(tensor([1, 2, -1])));
    const scale = 1 / Math.sqrt((1 + 4 + 16) / 3 + 0.5);
    expect(close(layer.forward(tensor([[1, 2, 4]])), tensor([[scale, 4 * scale, -4 * scale]]))).toBe(true);
    expect(Object.keys(layer.stateDict())).toEqual(['weight']);
  });

  test('without eps the machine epsilon of the dtype is added', () => {
    const tiny = 2 ** -12;
    const expected = tiny / Math.sqrt(tiny ** 2 + 2 ** -23);
    expect(new RMSNorm(1).forward(tensor([tiny])).item()).toBeCloseTo(expected, 6);
    const half = tensor([tiny], { dtype: 'float16' });
    const layer = new RMSNorm(1, { elementwiseAffine: false });
    expect(layer.forward(half).item()).toBeCloseTo(tiny / Math.sqrt(tiny ** 2 + 2 ** -10), 4);
  });
});

describe('BatchNorm2d', () => {
  /** Values of each channel. */
  function channels(src: Tensor): number[][] {
    return src.transpose(0, 1).reshape(src.shape[1], -1).tolist() as number[][];
  }

  test('training normalizes by the batch and moves the running statistics; evaluation uses those', () => {
    manualSeed(6);
    const layer = new BatchNorm2d(2, { momentum: 0.25, eps: 1e-3 });
    const src = randn([3, 2, 2, 2]).mul(2).add(1);
    const before = channels(src);
    const trained = channels(layer.forward(src));
    before.forEach((values, c) => {
      const [mean, deviation] = [meanOf(values), Math.sqrt(varianceOf(values) + 1e-3)];
      values.forEach((value, i) => expect(trained[c][i]).toBeCloseTo((value - mean) / deviation, 5));
    });
    const unbiased = before.map((values) => (varianceOf(values) * 12) / 11);
    const running = [layer.running_mean, layer.running_var].map((state) => state?.tolist() as number[]);
    before.forEach((values, c) => {
      expect(running[0][c]).toBeCloseTo(0.25 * meanOf(values), 5);
      expect(running[1][c]).toBeCloseTo(0.75 + 0.25 * unbiased[c], 5);
    });
    expect(layer.num_batches_tracked?.dataSync()).toEqual(BigInt64Array.of(1n));

    const evaluated = channels(layer.eval().forward(src));
    before.forEach((values, c) => {
      const deviation = Math.sqrt(running[1][c] + 1e-3);
      values.forEach((value, i) => expect(evaluated[c][i]).toBeCloseTo((value - running[0][c]) / deviation, 5));
    });
    expect(layer.num_batches_tracked?.item()).toBe(1);
  });

  test('PyTorch names, in its order; the batch count may be missing in a file', () => {
    const layer = new BatchNorm2d(2);
    const names = ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'];
    const state = layer.stateDict();
    expect(Object.keys(state)).toEqual(names);
    expect(state.num_batches_tracked.shape).toEqual([]);
    delete state.num_batches_tracked;
    layer.forward(ones([2, 2, 1, 1]));
    expect(layer.loadStateDict(state)).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(layer.num_batches_tracked?.item()).toBe(1);
    layer.loadStateDict({ ...state, num_batches_tracked: tensor(7, { dtype: 'int64' }) });
    expect(layer.num_batches_tracked?.item()).toBe(7);
    delete state.running_var;
    expect(codeOf(() => layer.loadStateDict(state))).toBe('STATE_DICT');
  });

  test('without running statistics evaluation uses the batch', () => {
    const layer = new BatchNorm2d(1, { trackRunningStats: false, affine: false }).eval();
    expect(Object.keys(layer.stateDict())).toEqual([]);
    const out = layer.forward(tensor([1, 3]).reshape(2, 1, 1, 1)).reshape(2);
    expect(close(out, tensor([-1, 1].map((value) => value / Math.sqrt(1 + 1e-5))))).toBe(true);
  });

  test('moving to half precision leaves the count alone', () => {
    const layer = new BatchNorm2d(2).to('float16');
    expect(layer.buffers().map(({ dtype }) => dtype)).toEqual(['float16', 'float16', 'int64']);
  });

  test('other shapes are refused', () => {
    expect(codeOf(() => new BatchNorm2d(2).forward(ones([2, 2])))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => new BatchNorm2d(2).forward(ones([2, 3, 1, 1])))).toBe('SHAPE_MISMATCH');
  });
});
