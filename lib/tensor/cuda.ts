// Finds and loads the CUDA plugin: once, at the first use of a cuda device.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { addonFolder, native } from '../native';

import { QuantoError } from './error';

/** The plugin that serves `cuda`: the GPU's, or the emulator's where QUANTO_CUDA_EMULATE=1 (a build for tests, never in the package). */
export function cudaPlugin(): { path: string; emulated: boolean } {
  const emulated = process.env.QUANTO_CUDA_EMULATE === '1';
  return { path: join(addonFolder, emulated ? 'test/quanto_cuda_emu.so' : 'libquanto_cuda.so'), emulated };
}

let outcome: { reason: string | null } | undefined;

function load(): string | null {
  const { path, emulated } = cudaPlugin();
  if (!existsSync(path)) {
    return emulated
      ? `QUANTO_CUDA_EMULATE=1 asks for the emulator, but ${path} is not there; the test run builds it`
      : 'this installation of quanto has no CUDA plugin (libquanto_cuda.so); in a checkout `npm run build:cuda` makes it';
  }
  try {
    native.loadBackendFile(path);
    return null;
  } catch (error) {
    if (error instanceof QuantoError) return error.message.replace(/^\[loadBackend\] (cuda: )?/, '');
    throw error;
  }
}

/** Loads the plugin if that was not tried yet; returns null, or why there is no cuda device. */
export function loadCuda(): string | null {
  outcome ??= { reason: load() };
  return outcome.reason;
}
