// A second backend, loaded as a plugin: backend.h is enough to write one (mini_backend.cpp).
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { add, exp, full, matmul, neg, ones, tensor, to, zeros } from '../../lib/ops';
import { native } from '../../lib/native';
import { deviceInfo, isAvailable, loadBackend, memory, synchronize } from '../../lib/tensor/device';
import { addonPath, testBinary } from '../harness/addon';
import { coded } from '../harness/errors';
import { settledMemory } from '../harness/memory';

const miniPath = testBinary('quanto_mini.so');

// Devices belong to the process, in which other test files may have loaded the plugin before.
describe('what cannot be loaded', () => {
  test('a device that nobody loaded is not available, and the reason says what to do', () => {
    expect(isAvailable('tiny')).toEqual({ available: false, reason: expect.stringContaining('loadBackend(path)') as string });
    expect(() => zeros([2], { device: 'tiny' })).toThrow(coded('DEVICE_UNAVAILABLE', 'tiny is not available'));
  });

  test('a plugin of another version is refused', () => {
    const { devices } = deviceInfo();
    expect(() => loadBackend(testBinary('quanto_mini_stale.so'))).toThrow(coded('DEVICE_UNAVAILABLE', 'another version'));
    expect(deviceInfo().devices).toEqual(devices);
  });

  test('files that are no plugins are refused', () => {
    expect(() => loadBackend(addonPath)).toThrow(coded('DEVICE_UNAVAILABLE', 'no Quanto backend'));
    const text = join(tmpdir(), `quanto-no-library-${process.pid}.so`);
    writeFileSync(text, 'not a library');
    expect(() => loadBackend(text)).toThrow(coded('DEVICE_UNAVAILABLE', 'cannot load'));
    rmSync(text);
    expect(() => loadBackend('/nowhere/quanto_mini.so')).toThrow(coded('DEVICE_UNAVAILABLE', 'cannot load'));
    expect(() => loadBackend('a\0b')).toThrow(coded('DEVICE_UNAVAILABLE', 'path of a shared library'));
  });
});

describe('loaded', () => {
  beforeAll(() => {
    expect(loadBackend(miniPath)).toBe('mini');
  });

  test('loading it again changes nothing', () => {
    expect(loadBackend(miniPath)).toBe('mini');
    expect(deviceInfo().devices).toEqual(['cpu', 'mini:0', 'mini:1']);
    expect(isAvailable('mini')).toEqual({ available: true });
  });

  test('its kernels run, on strided views too', async () => {
    const a = full([2, 3], 1.5, { device: 'mini' });
    expect(a.device).toBe('mini:0');
    expect([...(await a.data())]).toEqual([1.5, 1.5, 1.5, 1.5, 1.5, 1.5]);
    const b = neg(to(tensor([[1, 2, 3], [4, 5, 6]]), 'mini').transpose(0, 1)); // prettier-ignore
    expect(b.device).toBe('mini:0');
    expect([...b.dataSync()]).toEqual([-1, -4, -2, -5, -3, -6]);
    expect(exp(zeros([], { device: 'mini:1' })).device).toBe('mini:1');
  });

  test('synchronize waits for the devices in use too', () => {
    const waits = () => Number(/^(\d+) waits$/.exec(native.describeDevice(native.deviceId('mini')))?.[1]);
    full([2], 1, { device: 'mini' });
    const before = waits();
    synchronize();
    expect(waits()).toBeGreaterThan(before);
  });

  test('tensors move there, between its devices, and back', () => {
    const values = Float32Array.from({ length: 1000 }, (_, i) => i / 7);
    const there = to(to(tensor(values), 'mini:0'), 'mini:1');
    expect(there.device).toBe('mini:1');
    expect(to(there, 'cpu').dataSync()).toEqual(values);
    expect(to(zeros([0, 3]), 'mini').shape).toEqual([0, 3]);
  });

  test('an op without a kernel there names itself and the device', () => {
    const a = ones([2, 2], { device: 'mini' });
    expect(() => matmul(a, a)).toThrow(coded('NOT_SUPPORTED', /\[matmul\].*mini:0/));
    expect(() => add(a, a)).toThrow(coded('NOT_SUPPORTED', /\[add\].*mini:0.*to\('cpu'\)/));
  });

  test('operands on two devices are refused', () => {
    const message = /\[add\] expected all tensors on cpu but got cpu and mini:0; move one with .to\('cpu'\)/;
    expect(() => add(ones([2]), ones([2], { device: 'mini' }))).toThrow(coded('DEVICE_MISMATCH', message));
    expect(() => add(ones([2], { device: 'mini:1' }), ones([2], { device: 'mini' }))).toThrow(
      coded('DEVICE_MISMATCH', 'mini:1 and mini:0'),
    );
  });

  test('a kernel that fails marks its output, and what is computed from it', async () => {
    const failed = full([2], 1, { device: 'mini', dtype: 'int8' });
    await expect(neg(failed).data()).rejects.toEqual(coded('DEVICE_FAILURE', /\[full\].*mini:0/));
    await expect(to(failed, 'cpu').data()).rejects.toEqual(coded('DEVICE_FAILURE', /\[full\].*mini:0/));
  });

  test('a device that does not exist is refused with those that do', () => {
    expect(() => zeros([1], { device: 'mini:7' })).toThrow(coded('DEVICE_UNAVAILABLE', 'mini:0, mini:1'));
  });

  test('its memory counts like any other', () => {
    const before = settledMemory().bytes;
    const a = zeros([256], { device: 'mini' });
    expect(memory().bytes).toBe(before + 1024);
    a.dispose();
    expect(memory().bytes).toBe(before);
  });
});
