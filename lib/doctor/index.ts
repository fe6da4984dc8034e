// What `npx quanto doctor` prints: what the library found on this machine, and why something is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

import { addonPath, native } from '../native';
import { deviceCode, deviceInfo, isAvailable } from '../tensor/device';
import { cudaPlugin } from '../tensor/cuda';
import { version } from '../version';

/** The toolkit's compiler, as it names itself; only a build from source needs it. */
function toolkit(): string {
  const { status, stdout } = spawnSync('nvcc', ['--version'], { encoding: 'utf8' });
  const release = status === 0 ? /release [\d.]+/.exec(stdout)?.[0] : undefined;
  return release === undefined ? 'nvcc not found (needed only to build the plugin)' : `nvcc ${release}`;
}

/** Lines of a name and what was found, in the order of a search for a fault. */
export function examination(): [string, string][] {
  const { path, emulated } = cudaPlugin();
  const { available, reason } = isAvailable('cuda');
  const { devices, cpu, threads } = deviceInfo();
  return [
    ['quanto', `${version} on node ${process.version}, ${process.platform} ${process.arch}`],
    ['addon', addonPath],
    ['cpu', `${cpu}; ${threads} threads`],
    ['cuda plugin', `${path}${existsSync(path) ? '' : ' (not there)'}${emulated ? ' (emulator: QUANTO_CUDA_EMULATE=1)' : ''}`],
    ['cuda toolkit', toolkit()],
    ['cuda', available ? native.describeDevice(deviceCode('cuda')) : `not available: ${reason ?? ''}`],
    ['devices', devices.join(', ')],
  ];
}
