// The files that the native build leaves for the tests.
import { dirname, join, resolve } from 'node:path';

/** The addon under test: the build of this checkout, or the one that QUANTO_ADDON names (a sanitizer build). */
export const addonPath = resolve(process.env.QUANTO_ADDON ?? join(__dirname, '../../build/Release/quanto.node'));

/** A program or plugin of test/native. */
export const testBinary = (name: string): string => join(dirname(addonPath), 'test', name);
