import { BatchNorm2d, Conv2d, functional as F } from '../../lib/nn';
import { manualSeed, ones, rand, randn } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import type { Tensor } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';

type Image = number[][][];

/** The definition, in float64, of one image without groups. */
function convolve(src: Image, weight: number[][][][], bias: number[], [sh, sw]: number[], [ph, pw]: number[], [dh, dw]: number[]): Image {
  const at = (c: number, y: number, x: number) => src[c][y]?.[x] ?? 0;
  const [kh, kw] = [weight[0][0].length, weight[0][0][0].length];
  const outH = Math.floor((src[0].length + 2 * ph - dh * (kh - 1) - 1) / sh) + 1;
  const outW = Math.floor((src[0][0].length + 2 * pw - dw * (kw - 1) - 1) / sw) + 1;
  return weight.map((filter, o) =>
    Array.from({ length: outH }, (_, y) =>
      Array.from({ length: outW }, (_, x) => {
        let total = bias[o];
        filter.forEach((plane, c) =>
          plane.forEach((row, i) => row.forEach((tap, j) => (total += tap * at(c, y * sh - ph + i * dh, x * sw - pw + j * dw)))),
        );
        return total;
      }),
    ),
  );
}

const maxDifference = (a: Tensor, b: Image) => {
  const flat = b.flat(2);
  return Math.max(...(a.reshape(-1).tolist() as number[]).map((value, i) => Math.abs(value - flat[i])));
};

test('stride, padding and dilation of two sizes', () => {
  manualSeed(1);
  const layer = new Conv2d(2, 3, [3, 2], { stride: [2, 1], padding: [1, 2], dilation: [1, 2] });
  const src = randn([1, 2, 7, 6]);
  const out = layer.forward(src);
  const expected = convolve(
    (src.tolist() as Image[])[0],
    layer.weight.tolist() as Image[],
    layer.bias!.tolist() as number[],
    [2, 1],
    [1, 2],
    [1, 2],
  );
  expect(out.shape).toEqual([1, 3, 4, 8]);
  expect(maxDifference(out, expected)).toBeLessThan(1e-5);
});

test('groups see their own channels', () => {
  manualSeed(1);
  const layer = new Conv2d(4, 2, 1, { groups: 2, bias: false });
  expect(layer.weight.shape).toEqual([2, 2, 1, 1]);
  const src = ones([1, 4, 1, 1]);
  const [first, second] = layer.weight.reshape(2, 2).sum({ axis: 1 }).tolist() as number[];
  const values = layer.forward(src).reshape(2).tolist() as number[];
  expect(values[0]).toBeCloseTo(first, 6);
  expect(values[1]).toBeCloseTo(second, 6);
});

test('PyTorch names and initial range', () => {
  manualSeed(1);
  const layer = new Conv2d(4, 64, [3, 3]);
  expect(Object.keys(layer.stateDict())).toEqual(['weight', 'bias']);
  const bound = 1 / 6;
  const largest = layer.weight.absmax().item();
  expect(largest).toBeLessThanOrEqual(bound);
  expect(largest).toBeGreaterThan(0.98 * bound);
  expect(String(layer)).toBe('Conv2d(4, 64, kernelSize=[3,3], stride=1, padding=0, dilation=1, groups=1, bias=true)');
});

test('wrong sizes are refused', () => {
  expect(codeOf(() => new Conv2d(3, 4, 3, { groups: 2 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Conv2d(3, 4, 0))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new Conv2d(3, 4, 3).forward(ones([1, 2, 8, 8])))).toBe('SHAPE_MISMATCH');
});

describe('a convolution and what follows it', () => {
  /** A norm that has seen data, in evaluation. */
  function norm(features: number): BatchNorm2d {
    const result = new BatchNorm2d(features);
    noGrad(() => {
      result.weight!.copy_(randn([features]));
      result.bias!.copy_(randn([features]));
      result.running_mean!.copy_(randn([features]));
      result.running_var!.copy_(rand([features]));
    });
    return result.eval();
  }

  beforeEach(() => manualSeed(2));

  test.each([
    ['a norm', { bias: true }, {}],
    ['a norm and relu', { bias: false }, { relu: true }],
    ['a norm, an addend and relu', { bias: false }, { relu: true, addend: [2, 7, 9, 17] }],
    ['a norm and an addend', { bias: true }, { addend: [2, 7, 9, 17] }],
  ])('%s are one call, to the same bits', (_, options, { relu, addend: shape }: { relu?: boolean; addend?: number[] }) => {
    const conv = new Conv2d(5, 7, 3, { padding: 1, ...options });
    const bn = norm(7);
    const [src, addend] = [randn([2, 5, 9, 17]), shape && randn(shape)];
    noGrad(() => {
      const normalized = bn.forward(conv.forward(src));
      const summed = addend ? normalized.add(addend) : normalized;
      const expected = relu ? F.relu(summed) : summed;
      let calls = 0;
      const fused = conv.computeFused.bind(conv);
      conv.computeFused = (...operands) => (calls++, fused(...operands));
      expect(conv.forwardThen(src, { norm: bn, relu, addend }).equal(expected)).toBe(true);
      expect(calls).toBe(1);
    });
  });

  test('gradients, hooks, training and other dtypes run them one by one', () => {
    const conv = new Conv2d(3, 4, 3);
    const bn = norm(4);
    const src = randn([2, 3, 6, 6]);
    const expected = F.relu(bn.forward(conv.forward(src)));
    conv.computeFused = () => {
      throw new Error('fused');
    };
    const out = conv.forwardThen(src, { norm: bn, relu: true });
    expect(out.equal(expected)).toBe(true);
    out.sum().backward();
    expect(conv.weight.grad!.absmax().item()).toBeGreaterThan(0);
    noGrad(() => {
      const seen: Tensor[] = [];
      const remove = conv.registerForwardHook((_module, _inputs, output) => void seen.push(output));
      expect(conv.forwardThen(src, { norm: bn, relu: true }).equal(expected)).toBe(true);
      expect(seen).toHaveLength(1);
      remove();
      bn.train();
      expect(conv.forwardThen(src, { norm: bn }).shape).toEqual([2, 4, 4, 4]);
      expect(bn.num_batches_tracked!.item()).toBe(1);
      bn.eval();
    });
  });

  test('a half-precision convolution is not fused', () => {
    const conv = new Conv2d(3, 4, 3, { dtype: 'float16' });
    const bn = new BatchNorm2d(4, { dtype: 'float16' }).eval();
    const src = randn([2, 3, 6, 6], { dtype: 'float16' });
    noGrad(() => expect(conv.forwardThen(src, { norm: bn }).equal(bn.forward(conv.forward(src)))).toBe(true));
  });
});
