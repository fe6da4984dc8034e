import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

// The C++ programs test/native/*_test.cpp, as the build of the addon left them.
const addon = resolve(process.env.QUANTO_ADDON ?? join(__dirname, '../../build/Release/quanto.node'));
const folder = join(dirname(addon), 'test');
const sources = readdirSync(__dirname).filter((name) => name.endsWith('_test.cpp'));

test.each(sources.map((name) => basename(name, '.cpp')))('%s', async (program) => {
  // A sanitizer's runtime is linked into the programs; preloaded as well, it would end the shells that they start.
  const env = { ...process.env, LD_PRELOAD: undefined };
  // Rejects with the program's output when it fails.
  const { stdout } = await promisify(execFile)(join(folder, program), { env });
  expect(stdout).toMatch(/\b[1-9]\d* passed, 0 failed/);
});
