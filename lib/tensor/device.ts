import { resolve } from 'node:path';

import { native, type DeviceCode } from '../native';

import { loadCuda } from './cuda';
import { QuantoError } from './error';

/** Where a tensor lives. Plugins may add devices of other names (see `loadBackend`). */
export type Device = 'cpu' | 'cuda' | `cuda:${number}` | (string & Record<never, never>);

const codes = new Map<string, DeviceCode>();

/** The number by which the native side knows a device. Throws DEVICE_UNAVAILABLE with the reason. */
export function deviceCode(device: Device): DeviceCode {
  let code = codes.get(device);
  if (code === undefined) {
    if (typeof device !== 'string') {
      throw new QuantoError('INVALID_ARGUMENT', `[device] expected a name such as 'cpu' or 'cuda:0' but got ${String(device)}`);
    }
    const status = isAvailable(kindOf(device));
    if (!status.available) throw new QuantoError('DEVICE_UNAVAILABLE', `[device] ${device} is not available: ${status.reason ?? ''}`);
    code = native.deviceId(device);
    codes.set(device, code);
  }
  return code;
}

export function deviceOfCode(code: DeviceCode): Device {
  return code === 0 ? 'cpu' : native.deviceName(code);
}

export function isDevice(value: unknown): value is Device {
  return typeof value === 'string' && (/^cuda(:\d+)?$/.test(value) || isAvailable(kindOf(value)).available);
}

/** 'cuda' of 'cuda:1'. */
function kindOf(device: string): string {
  return device.split(':')[0];
}

/**
 * Loads a device plugin, for all threads: a shared library that exports the backend struct of csrc/backend.h. Returns the device's name.
 * Throws DEVICE_UNAVAILABLE when it cannot serve here, with the reason.
 */
export function loadBackend(path: string): Device {
  return native.loadBackendFile(resolve(path));
}

/**
 * Whether a kind of device ('cpu', 'cuda') can be used, and if not, why. The first question about `cuda` loads its plugin.
 * QUANTO_VISIBLE_DEVICES (such as `0,2`) chooses which GPUs there are, and their order.
 */
export function isAvailable(kind: string): { available: boolean; reason?: string } {
  const known = () => native.deviceNames().some((name) => kindOf(name) === kind);
  if (kind === 'cpu' || known()) return { available: true };
  const reason = (kind === 'cuda' ? loadCuda() : null) ?? `no backend named '${kind}' is loaded; loadBackend(path) loads one`;
  return known() ? { available: true } : { available: false, reason };
}

/** What the library found on this machine. */
export function deviceInfo(): { devices: string[]; threads: number; cpu: string } {
  return { devices: native.deviceNames(), threads: native.threadCount(), cpu: native.cpuDescription() };
}

/** Threads that a kernel may use, the calling one included; results do not depend on it. The default honours affinity and cgroup limits. */
export function setNumThreads(count: number): void {
  native.setThreadCount(count);
}

export function getNumThreads(): number {
  return native.threadCount();
}

/**
 * Memory of this JS environment: `bytes` of live tensors (views of one memory counted once) and their number, `peakBytes`, the most that
 * tensors and running ops have needed at once, and `cachedBytes`, held for reuse by the whole process.
 */
export function memory(): { bytes: number; peakBytes: number; cachedBytes: number; tensors: number } {
  return native.memory();
}

/**
 * Memory of one device, for the whole process: bytes in tensors, and bytes held for reuse. Both count whole blocks of the allocator, which
 * may be an eighth larger than what was asked for.
 */
export function deviceMemory(device: Device): { usedBytes: number; cachedBytes: number } {
  const [usedBytes, cachedBytes] = native.deviceMemory(deviceCode(device));
  return { usedBytes, cachedBytes };
}

/** Gives cached memory back to the system. */
export function emptyCache(): void {
  native.emptyCache();
}

/** Blocks until every op issued here has run. */
export function synchronize(): void {
  native.synchronize();
}
