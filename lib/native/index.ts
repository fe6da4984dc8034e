// Loads the addon: the build of this checkout, a prebuilt binary of the package, or the file that QUANTO_ADDON names.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

import nodeGypBuild from 'node-gyp-build';

import type { Native } from './stubs';

export * from './stubs';

function load(): Native {
  const chosen = process.env.QUANTO_ADDON;
  if (chosen !== undefined && chosen !== '') return createRequire(__filename)(resolve(chosen)) as Native;
  return nodeGypBuild(resolve(__dirname, '..', '..')) as Native;
}

/** The functions of the addon; their types come from the C++ signatures. */
export const native: Native = load();
