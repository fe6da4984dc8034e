import { fill_, type nn, noGrad, QTensor, quantizeWeight, randn, tidy, zeros } from '../../lib';
import { native } from '../../lib/native';
import { cachedWeight, dropCachedWeight } from '../../lib/quantize/weight-cache';
import { collectGarbage } from '../harness/garbage';
import { settledMemory } from '../harness/memory';

const config = {};
const quantized = (weight: nn.Linear['weight']) => quantizeWeight(weight, { qtype: 'qint8' });

test('a weight is quantized once, packed, until it is written to', () => {
  const weight = randn([6, 40]);
  tidy(() => void cachedWeight(weight, config, () => quantized(weight)));
  const first = cachedWeight(weight, config, () => quantized(weight));
  expect(first.isDisposed).toBe(false);
  expect(native.isPacked(first.stored.codes.native)).toBe(true);
  expect(cachedWeight(weight, config, () => quantized(weight))).toBe(first);
  noGrad(() => fill_(weight, 2));
  const second = cachedWeight(weight, config, () => quantized(weight));
  expect(second).not.toBe(first);
  expect(first.isDisposed).toBe(true);
  expect(second.dataSync()).toEqual(quantized(weight).dataSync());
});

test('another config quantizes anew', () => {
  const weight = randn([6, 40]);
  const first = cachedWeight(weight, config, () => quantized(weight));
  expect(cachedWeight(weight, {}, () => quantized(weight))).not.toBe(first);
});

test('a weight on the native handle of one that was disposed is quantized anew', () => {
  const first = randn([6, 40]);
  const handle = first.native;
  const stale = cachedWeight(first, config, () => quantized(first));
  first.dispose();
  for (const other of Array.from({ length: 1000 }, () => zeros([1]))) other.dispose();
  const later = Array.from({ length: 5000 }, () => randn([6, 40]));
  const weight = later.find((tensor) => tensor.native === handle);
  // Else the test shows nothing.
  if (!weight) throw new Error('no handle was used again');
  const fresh = cachedWeight(weight, config, () => quantized(weight));
  expect(fresh).not.toBe(stale);
  expect(fresh.dataSync()).toEqual(quantized(weight).dataSync());
  for (const tensor of later) tensor.dispose();
});

test('what was kept for a weight goes with it', async () => {
  await collectGarbage();
  const before = settledMemory();
  for (let i = 0; i < 50; i++) {
    const weight = randn([64, 64]);
    cachedWeight(weight, config, () => quantized(weight));
    weight.dispose();
  }
  await collectGarbage();
  const after = settledMemory();
  expect(after.tensors - before.tensors).toBeLessThanOrEqual(0);
  expect(after.bytes - before.bytes).toBeLessThanOrEqual(0);
});

test('a dropped weight is freed', () => {
  const weight = randn([6, 40]);
  const first = cachedWeight(weight, config, () => quantized(weight));
  dropCachedWeight(weight);
  expect(first.isDisposed).toBe(true);
  expect(cachedWeight(weight, config, () => quantized(weight))).toBeInstanceOf(QTensor);
});
