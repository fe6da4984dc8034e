import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './sources';

test('lib/native/stubs.ts is what the addon says of itself: run `npm run stubs` after a change of its C++ signatures', () => {
  // In a process of its own: prettier, which formats the stubs, loads itself with import(), and jest has none.
  const program = "require('./scripts/generate-stubs').generateStubs().then((text) => process.stdout.write(text));";
  const args = ['--require', 'ts-node/register/transpile-only', '--eval', program];
  const generated = execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  expect(readFileSync(join(root, 'lib/native/stubs.ts'), 'utf8')).toBe(generated);
});
