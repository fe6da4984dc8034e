import { MultiheadAttention, type MultiheadAttentionCall } from '../../lib/nn';
import { manualSeed, randn, tensor, zeros } from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';

type Matrix = number[][];
const multiply = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, value, k) => sum + value * b[k][j], 0)));
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const softmax = (row: number[]): number[] => {
  const powers = row.map((value) => Math.exp(value - Math.max(...row)));
  return powers.map((power) => power / powers.reduce((sum, p) => sum + p));
};
const affine = (src: Matrix, weight: Matrix, bias: number[]) =>
  multiply(src, transposed(weight)).map((row) => row.map((v, i) => v + bias[i]));
const columns = (a: Matrix, first: number, count: number) => a.map((row) => row.slice(first, first + count));

/** One sample in float64: query [L, E], key and value [S, E]; `hidden` tells which keys a query must not see. */
function reference(layer: MultiheadAttention, [query, key, value]: Matrix[], hidden: (i: number, j: number) => boolean) {
  const size = layer.embedDim;
  const [weight, bias] = [layer.in_proj_weight.tolist() as Matrix, layer.in_proj_bias!.tolist() as number[]];
  const [q, k, v] = [query, key, value].map((src, i) =>
    affine(src, weight.slice(i * size, (i + 1) * size), bias.slice(i * size, (i + 1) * size)),
  );
  const width = size / layer.numHeads;
  const heads = Array.from({ length: layer.numHeads }, (_, h) => {
    const scores = multiply(columns(q, h * width, width), transposed(columns(k, h * width, width)));
    const weights = scores.map((row, i) => softmax(row.map((score, j) => (hidden(i, j) ? -Infinity : score / Math.sqrt(width)))));
    return { weights, attended: multiply(weights, columns(v, h * width, width)) };
  });
  const joined = query.map((_, i) => heads.flatMap(({ attended }) => attended[i]));
  const mean = heads[0].weights.map((row, i) =>
    row.map((_, j) => heads.reduce((sum, { weights }) => sum + weights[i][j], 0) / heads.length),
  );
  return { output: affine(joined, layer.out_proj.weight.tolist() as Matrix, layer.out_proj.bias!.tolist() as number[]), weights: mean };
}

const [length, keys, batch, size] = [3, 4, 2, 6];
const paddedKeys = tensor([[false, false, false, true], [false, true, false, false]]); // prettier-ignore
const blocked = tensor([[false, true, false, false], [false, false, false, false], [true, false, true, false]]); // prettier-ignore
const isBlocked = (i: number, j: number) => (blocked.tolist() as boolean[][])[i][j];
const isPadding = (n: number, j: number) => (paddedKeys.tolist() as boolean[][])[n][j];

test.each<[string, MultiheadAttentionCall, (n: number, i: number, j: number) => boolean]>([
  ['no mask', {}, () => false],
  ['a bool mask', { attnMask: blocked }, (_n, i, j) => isBlocked(i, j)],
  ['padding', { keyPaddingMask: paddedKeys }, (n, _i, j) => isPadding(n, j)],
  ['both', { attnMask: blocked, keyPaddingMask: paddedKeys }, (n, i, j) => isBlocked(i, j) || isPadding(n, j)],
  ['causal', { causal: true }, (_n, i, j) => j > i],
])('%s, in both layouts', (_name, call, hidden) => {
  manualSeed(8);
  const layer = new MultiheadAttention(size, 2);
  layer.parameters().forEach((parameter) => void parameter.detach().copy_(randn(parameter.shape)));
  const first = new MultiheadAttention(size, 2, { batchFirst: true });
  first.loadStateDict(layer.stateDict());
  const operands = [randn([batch, length, size]), randn([batch, keys, size]), randn([batch, keys, size])] as const;
  const [output, weights] = first.forward(...operands, { ...call, needWeights: true });
  const turned = operands.map((operand) => operand.transpose(0, 1)) as unknown as readonly [Tensor, Tensor, Tensor];
  expect(
    layer
      .forward(...turned, call)[0]
      .transpose(0, 1)
      .allclose(output, { atol: 1e-5 }),
  ).toBe(true);
  for (let n = 0; n < batch; n++) {
    const samples = operands.map((operand) => operand.select(0, n).tolist() as Matrix);
    const expected = reference(layer, samples, (i, j) => hidden(n, i, j));
    expect(output.select(0, n).allclose(tensor(expected.output), { atol: 2e-5 })).toBe(true);
    expect(weights!.select(0, n).allclose(tensor(expected.weights), { atol: 1e-6 })).toBe(true);
  }
});

test('float masks are added, and may differ for each head', () => {
  manualSeed(8);
  const layer = new MultiheadAttention(size, 2);
  const src = randn([length, batch, size]);
  const low = tensor([0, -1e9, 0]).expand(batch * 2, length, 3);
  const seen = tensor([false, true, false]).expand(length, 3);
  expect(layer.forward(src, src, src, { attnMask: low })[0].allclose(layer.forward(src, src, src, { attnMask: seen })[0])).toBe(true);
});

test('PyTorch names and initial values', () => {
  const layer = new MultiheadAttention(4, 2);
  expect(Object.keys(layer.stateDict())).toEqual(['in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias']);
  expect(Object.keys(new MultiheadAttention(4, 2, { bias: false }).stateDict())).toEqual(['in_proj_weight', 'out_proj.weight']);
  expect([layer.in_proj_bias, layer.out_proj.bias].map((bias) => bias?.absmax().item())).toEqual([0, 0]);
  expect(layer.in_proj_weight.absmax().item()).toBeLessThanOrEqual(Math.sqrt(6 / 16));
});

test('no weights unless they are asked for; gradients reach everything', () => {
  manualSeed(8);
  const layer = new MultiheadAttention(4, 2);
  const src = randn([2, 1, 4]);
  const [output, weights] = layer.forward(src, src, src);
  expect(weights).toBeNull();
  output.square().sum().backward();
  expect(layer.parameters().every(({ grad }) => grad !== null)).toBe(true);
});

test('sizes that do not fit are refused', () => {
  expect(codeOf(() => new MultiheadAttention(4, 3))).toBe('INVALID_ARGUMENT');
  const src = randn([2, 1, 5]);
  expect(codeOf(() => new MultiheadAttention(4, 2).forward(src, src, src))).toBe('SHAPE_MISMATCH');
});

test.each([
  ['keyPaddingMask', [3, 2]],
  ['keyPaddingMask', [6]],
  ['attnMask', [3, 4, 3]],
  ['attnMask', [2, 3, 3]],
  ['attnMask', [3, 2]],
  ['attnMask', [1, 3]],
] as const)('a %s of shape %j is refused', (name, shape) => {
  const layer = new MultiheadAttention(4, 2);
  const src = randn([3, 2, 4]);
  const mask = zeros([...shape], { dtype: 'bool' });
  expect(codeOf(() => layer.forward(src, src, src, { [name]: mask }))).toBe('SHAPE_MISMATCH');
});
