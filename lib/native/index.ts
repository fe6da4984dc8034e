import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';

import nodeGypBuild from 'node-gyp-build';

import type { Native } from './stubs';

export * from './stubs';

const root = resolve(__dirname, '..', '..');
const chosen = process.env.QUANTO_ADDON;

/** The addon's file: that of this package for this platform, or the one that QUANTO_ADDON names. */
export const addonPath: string = chosen !== undefined && chosen !== '' ? resolve(chosen) : nodeGypBuild.path(root);
/** The folder where it lies, and its plugins beside it. */
export const addonFolder: string = dirname(addonPath);

/** The functions of the addon; their types come from the C++ signatures. */
export const native: Native = createRequire(__filename)(addonPath) as Native;
