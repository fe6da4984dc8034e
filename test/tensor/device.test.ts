import { tensor, zeros } from '../../lib/ops';
import {
  deviceCode,
  deviceInfo,
  deviceOfCode,
  emptyCache,
  getNumThreads,
  isAvailable,
  isDevice,
  loadBackend,
  memory,
  setNumThreads,
  synchronize,
} from '../../lib/tensor/device';
import { collectGarbage } from '../harness/garbage';
import { expectError } from '../harness/errors';
import { settledMemory } from '../harness/memory';

test('the CPU is there', () => {
  expect(isAvailable('cpu')).toEqual({ available: true });
  expect(deviceOfCode(deviceCode('cpu'))).toBe('cpu');
  expect(tensor([1]).device).toBe('cpu');
  const { devices, threads, cpu } = deviceInfo();
  expect(devices).toContain('cpu');
  expect(threads).toBe(getNumThreads());
  expect(cpu).toMatch(/^isa=\w+; float32: \w+, int8: \w+, w8: [\w/]+, bits: \w+, conv: \w+$/);
});

test('a device that is not there says why', () => {
  const { available, reason } = isAvailable('tpu');
  expect(available).toBe(false);
  expect(reason).toMatch(/loadBackend/);
  expectError(() => zeros([2], { device: 'tpu' }), 'DEVICE_UNAVAILABLE', /tpu is not available/);
  expectError(() => loadBackend('/nowhere/backend.so'), 'DEVICE_UNAVAILABLE');
});

test('isDevice knows devices from dtypes', () => {
  expect(['cpu', 'cuda', 'cuda:1'].every(isDevice)).toBe(true);
  expect(['float32', 'cuda:x', '', 3, undefined].some(isDevice)).toBe(false);
});

test('the number of threads is at least 1', () => {
  const before = getNumThreads();
  setNumThreads(1);
  expect(getNumThreads()).toBe(1);
  setNumThreads(before);
  for (const count of [0, -1, 1.5, NaN, 1e9]) expectError(() => setNumThreads(count), 'INVALID_ARGUMENT');
  expect(getNumThreads()).toBe(before);
});

test('memory counts bytes and tensors up and down', async () => {
  await collectGarbage();
  const before = settledMemory();
  const x = zeros([256, 1024]);
  synchronize();
  expect(memory().bytes - before.bytes).toBe(1 << 20);
  expect(memory().tensors - before.tensors).toBe(1);
  expect(memory().peakBytes).toBeGreaterThanOrEqual(memory().bytes);
  const view = x.t();
  x.dispose();
  expect(memory().bytes - before.bytes).toBe(1 << 20);
  view.dispose();
  expect(memory().bytes).toBe(before.bytes);
  expect(memory().tensors).toBe(before.tensors);
  emptyCache();
  expect(memory().cachedBytes).toBe(0);
});
