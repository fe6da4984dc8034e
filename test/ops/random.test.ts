import { dropout, manualSeed, ones, rand, randint, randn, tensor, uniform, zeros } from '../../lib/ops';
import type { DType } from '../../lib/tensor/dtype';
import { getNumThreads, setNumThreads } from '../../lib/tensor/device';
import type { Tensor } from '../../lib/tensor/tensor';
import { randomCases } from '../cases/random';
import { expectError } from '../harness/errors';
import { runCases } from '../harness/run-cases';

runCases(randomCases);

const COUNT = 100_000;

const moments = (x: Tensor) => ({ mean: x.mean().item(), deviation: x.var().sqrt().item() });

test('uniform numbers fill [low, high) evenly', () => {
  manualSeed(1);
  const x = uniform([COUNT], -1, 3);
  expect(x.min().item()).toBeGreaterThanOrEqual(-1);
  expect(x.max().item()).toBeLessThan(3);
  const { mean, deviation } = moments(x);
  // Five standard errors of the mean: 5 * deviation / sqrt(count).
  expect(Math.abs(mean - 1)).toBeLessThan((5 * 4) / Math.sqrt(12 * COUNT));
  expect(Math.abs(deviation - 4 / Math.sqrt(12))).toBeLessThan(0.01);
});

test('normal numbers have mean 0, deviation 1 and the tails of a normal distribution', () => {
  manualSeed(2);
  const x = randn([COUNT]);
  const { mean, deviation } = moments(x);
  expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(COUNT));
  expect(Math.abs(deviation - 1)).toBeLessThan(5 / Math.sqrt(2 * COUNT));
  // P(|X| > 2) = 0.0455
  const tail = x.abs().gt(2).sum().item() / COUNT;
  expect(Math.abs(tail - 0.0455)).toBeLessThan(5 * Math.sqrt(0.0455 / COUNT));
});

test('integers take every value of [low, high) about as often', () => {
  manualSeed(3);
  const x = randint(-2, 3, [COUNT]);
  expect(x.dtype).toBe('int64');
  for (const value of [-2, -1, 0, 1, 2]) {
    const share = x.eq(value).sum().item() / COUNT;
    expect(Math.abs(share - 0.2)).toBeLessThan(5 * Math.sqrt(0.16 / COUNT));
  }
});

test('a seed fixes what follows, on any number of threads', () => {
  const draw = (threads: number) => {
    const before = getNumThreads();
    setNumThreads(threads);
    try {
      manualSeed(42);
      return [rand([70_000]), randn([70_000]), randint(0, 1000, [70_000])].map((x) => Buffer.from(x.bytesSync()).toString('base64'));
    } finally {
      setNumThreads(before);
    }
  };
  const first = draw(1);
  expect(draw(1)).toEqual(first);
  expect(draw(2)).toEqual(first);
  manualSeed(43);
  expect(Buffer.from(rand([70_000]).bytesSync()).toString('base64')).not.toBe(first[0]);
});

test('two draws differ, and the options hold', () => {
  manualSeed(5);
  expect(rand([100]).equal(rand([100]))).toBe(false);
  for (const dtype of ['float16', 'bfloat16', 'float32'] as DType[]) expect(randn([3], { dtype }).dtype).toBe(dtype);
  expect(rand([3], { requiresGrad: true }).requiresGrad).toBe(true);
  expect(randint(0, 100, [3], { dtype: 'uint8' }).dtype).toBe('uint8');
  expect(rand([0, 4]).shape).toEqual([0, 4]);
});

test('dropout drops a share p and keeps the mean', () => {
  manualSeed(6);
  const y = dropout(ones([COUNT]), { p: 0.25 });
  const dropped = y.eq(0).sum().item() / COUNT;
  expect(Math.abs(dropped - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / COUNT));
  expect(y.max().item()).toBeCloseTo(1 / 0.75, 6);
});

test("dropout's gradient passes where the values did", () => {
  const x = ones([1000], { requiresGrad: true });
  const y = dropout(x, { p: 0.5 });
  y.sum().backward();
  expect(x.grad?.equal(y.detach())).toBe(true);
});

test('dropout without effect returns its source', () => {
  const x = tensor([1, 2]);
  expect(dropout(x, { training: false })).toBe(x);
  expect(dropout(x, { p: 0 })).toBe(x);
});

test('wrong arguments are refused', () => {
  expectError(() => dropout(zeros([2]), { p: 1.5 }), 'INVALID_ARGUMENT', /\[dropout\]/);
  expectError(() => dropout(zeros([2]), { p: NaN }), 'INVALID_ARGUMENT');
  expectError(() => dropout(undefined as never), 'INVALID_ARGUMENT');
  expectError(() => randint(3, 3, [2]), 'INVALID_ARGUMENT');
  expectError(() => manualSeed(1.5), 'INVALID_ARGUMENT');
  expectError(() => rand([2], { dtype: 'int32' }), 'DTYPE_MISMATCH');
});
