import { KeyValueCache } from '../../lib/models';
import { ones, zeros } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { tidy } from '../../lib/tensor/scope';
import { settledMemory } from '../harness/memory';

test('tokens are appended layer by layer and outlive tidy', () => {
  const cache = new KeyValueCache();
  tidy(() => void cache.append(0, ones([1, 2, 3, 4]), zeros([1, 2, 3, 4])));
  expect([cache.length(0), cache.length(1)]).toEqual([3, 0]);
  const [key, value] = cache.append(0, zeros([1, 2, 1, 4]), ones([1, 2, 1, 4]));
  expect(key.shape).toEqual([1, 2, 4, 4]);
  expect([key.sum().item(), value.sum().item()]).toEqual([24, 8]);
});

test('what was replaced is freed at once, the rest by dispose', () => {
  const before = settledMemory().tensors;
  const cache = new KeyValueCache();
  for (let i = 0; i < 10; i++) tidy(() => void cache.append(0, ones([1, 1, 1, 2]), ones([1, 1, 1, 2])));
  expect(memory().tensors).toBe(before + 2);
  cache.dispose();
  expect(memory().tensors).toBe(before);
  expect(cache.length(0)).toBe(0);
});
