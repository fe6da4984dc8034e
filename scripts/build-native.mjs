// Builds the addon with CMake: `node scripts/build-native.mjs [--sanitize=address|thread]`.
// The addon goes to build/Release/quanto.node, or to build/sanitize-<name>/quanto.node.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const sanitizers = { address: 'address,undefined', thread: 'thread' };

/** Whether one of the commands starts and succeeds. */
const runs = (commands, args, input) => commands.some((command) => spawnSync(command, args, { input, stdio: 'pipe' }).status === 0);

/** One sentence for the user, or null when the machine has what the build needs. */
function missingTool() {
  const compilers = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  const cpp20 = '#include <concepts>\nstatic_assert(std::integral<int>);\n';
  const missing = [
    !runs(['cmake'], ['--version']) && 'cmake',
    !runs(['make', 'ninja'], ['--version']) && 'make',
    !runs(compilers, ['-std=c++20', '-fsyntax-only', '-x', 'c++', '-'], cpp20) && 'a C++20 compiler (g++ 11 or clang++ 14, or newer)',
  ].filter(Boolean);
  return missing.length === 0
    ? null
    : `quanto is built from source here and needs ${new Intl.ListFormat('en').format(missing)}: on Debian or Ubuntu run \`apt-get install g++ make cmake\` and try again.`;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

const { values } = parseArgs({ options: { sanitize: { type: 'string' } } });
if (values.sanitize !== undefined && !(values.sanitize in sanitizers)) {
  fail(`--sanitize takes ${Object.keys(sanitizers).join(' or ')}, but got ${values.sanitize}.`);
}
const missing = missingTool();
if (missing) fail(missing);

// cmake-js builds in its own folder: `build/` itself belongs to node-gyp.
const out = values.sanitize ? `build/sanitize-${values.sanitize}` : 'build/cmake';
const args = ['build', '--out', out, '--parallel', String(availableParallelism()), '--log-level', 'warn'];
if (values.sanitize) args.push(`--CDQUANTO_SANITIZE=${sanitizers[values.sanitize]}`);

// What the make of node-gyp leaves in the environment would confuse CMake's own make.
const env = { ...process.env };
for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL']) delete env[name];

const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const result = spawnSync(process.execPath, [cmakeJs, ...args], { cwd: root, env, stdio: 'inherit' });
const addon = join(root, values.sanitize ? out : 'build/Release', 'quanto.node');
if (result.status !== 0 || !existsSync(addon)) fail('The native build failed: the first error above says why.');
