import { fill_, type nn, noGrad, QTensor, quantizeWeight, randn, tidy } from '../../lib';
import { native } from '../../lib/native';
import { cachedWeight, dropCachedWeight } from '../../lib/quantize/weight-cache';

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

test('a dropped weight is freed', () => {
  const weight = randn([6, 40]);
  const first = cachedWeight(weight, config, () => quantized(weight));
  dropCachedWeight(weight);
  expect(first.isDisposed).toBe(true);
  expect(cachedWeight(weight, config, () => quantized(weight))).toBeInstanceOf(QTensor);
});
