// Before the first test: builds the C++ programs and plugins of test/native, which an installation leaves out.
import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';

export default function buildNativeTests(): void {
  const root = resolve(__dirname, '../..');
  // A sanitizer build has its addon in CMake's own folder.
  const folder = process.env.QUANTO_ADDON === undefined ? join(root, 'build/cmake') : dirname(resolve(process.env.QUANTO_ADDON));
  // A preloaded sanitizer is meant for Node alone.
  const env = { ...process.env, LD_PRELOAD: undefined };
  const { status, stdout, stderr } = spawnSync('cmake', ['--build', folder, '--target', 'native_tests', '--parallel', '2'], {
    env,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the C++ tests do not build; is the addon built (npm run build:native)?\n${stdout}\n${stderr}`);
}
