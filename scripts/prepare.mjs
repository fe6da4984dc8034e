// npm runs this after `npm ci` in a checkout, before `npm pack`, and when the package is installed from git; an installed tarball
// brings its binaries and never comes here.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
try {
  require.resolve('typescript');
} catch {
  console.log('quanto: nothing is built, because the development dependencies are not installed; run `npm ci` to build.');
  process.exit(0);
}
const result = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
process.exit(result.status ?? 1);
