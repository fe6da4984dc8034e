import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root } from './sources';

// What `npm publish` would send, built here from the addon of this checkout and installed as a user would.
const work = mkdtempSync(join(tmpdir(), 'quanto-package-'));
const staging = join(work, 'staging');
const consumer = join(work, 'consumer');
const bin = (name: string): string => join(root, 'node_modules/.bin', name);
const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc';
const prebuild = `prebuilds/${process.platform}-${process.arch}/quanto.${libc}.node`;
// Beside the addon, where `npm run build:cuda` has made it.
const builtPlugin = join(root, 'build/Release/libquanto_cuda.so');
const plugins = existsSync(builtPlugin) ? [join(dirname(prebuild), 'libquanto_cuda.so')] : [];

function run(command: string, args: string[], cwd: string): string {
  // npm's own settings of the surrounding `npm test` must not reach the npm of the consumer.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  try {
    return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Packs a folder and returns the path of its tarball. */
function pack(folder: string): string {
  const [{ filename }] = JSON.parse(run('npm', ['pack', folder, '--json', '--ignore-scripts', '--pack-destination', work], work)) as [
    { filename: string },
  ];
  return join(work, filename);
}

/** The runtime dependencies of a package of this checkout, and theirs. */
function dependenciesOf(folder: string): string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { dependencies?: Record<string, string> };
  return Object.keys(dependencies).flatMap((name) => [name, ...dependenciesOf(join(root, 'node_modules', name))]);
}

let tarball: string;

beforeAll(() => {
  mkdirSync(join(staging, prebuild, '..'), { recursive: true });
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'binding.gyp', 'CMakeLists.txt', 'scripts']) {
    cpSync(join(root, name), join(staging, name), { recursive: true });
  }
  run(bin('tsc'), ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(staging, 'dist')], root);
  run('strip', ['--strip-all', '-o', join(staging, prebuild), join(root, 'build/Release/quanto.node')], root);
  for (const plugin of plugins) run('strip', ['--strip-all', '-o', join(staging, plugin), builtPlugin], root);
  tarball = pack(staging);

  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', version: '1.0.0', private: true }));
  // The runtime dependencies come from this checkout, so that the test needs no network.
  const dependencies = [...new Set(dependenciesOf(root))].map((name) => pack(join(root, 'node_modules', name)));
  run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball, ...dependencies], consumer);
});

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

test('the tarball holds the library, one binary and its plugin where that was built, nothing of the build', () => {
  const files = run('tar', ['-tzf', tarball], work).trim().split('\n');
  const others = files.map((file) => file.replace(/^package\//, '')).filter((file) => !/^dist\/.+\.(js|mjs|d\.ts|d\.mts)$/.test(file));
  expect(others.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', prebuild, ...plugins].sort());
});

test('the package has at most 15 MB, and so has what is installed', () => {
  const installed = Number(run('du', ['-sb', join(consumer, 'node_modules/quanto')], work).split('\t')[0]);
  const sizes = { tarball: statSync(tarball).size, installed };
  expect(Object.entries(sizes).filter(([, bytes]) => bytes > 15e6)).toEqual([]);
});

test('the README says which glibc the binary needs', () => {
  const symbols = run('objdump', ['-T', join(staging, prebuild)], work);
  const minors = [...symbols.matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]));
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`glibc 2.${Math.max(...minors)} or later`);
});

test('npm runs no script on install', () => {
  const { scripts, gypfile } = JSON.parse(readFileSync(join(consumer, 'node_modules/quanto/package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    gypfile: boolean;
  };
  expect(Object.keys(scripts).filter((name) => /install$/.test(name))).toEqual([]);
  expect(gypfile).toBe(false);
  // With scripts allowed, `npm ci` must not start node-gyp either.
  run('npm', ['ci', '--offline', '--no-audit', '--no-fund'], consumer);
  expect(existsSync(join(consumer, 'node_modules/quanto/build'))).toBe(false);
});

const program = `
const sum = tensor([1, 2, 3]).add(tensor([10, 20, 30]));
console.log(JSON.stringify(sum.tolist()));
`;

test('a CommonJS module requires it', () => {
  writeFileSync(join(consumer, 'use.cjs'), `const { tensor } = require('quanto');${program}`);
  expect(JSON.parse(run(process.execPath, ['use.cjs'], consumer))).toEqual([11, 22, 33]);
});

test('an ES module imports it', () => {
  writeFileSync(join(consumer, 'use.mjs'), `import { tensor } from 'quanto';${program}`);
  expect(JSON.parse(run(process.execPath, ['use.mjs'], consumer))).toEqual([11, 22, 33]);
});

test('it makes a page of plots', () => {
  const source = `const { compare, nn, ones, quantize } = require('quanto');
const model = new nn.Sequential(new nn.Linear(4, 2));
const quantized = quantize(model, { weights: 'qint8', inPlace: false });
void compare(model, quantized, [ones([1, 4])]).then((result) => console.log(result.html().match(/Chart.js v\\S+/)[0]));`;
  writeFileSync(join(consumer, 'page.cjs'), source);
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/chart.js/package.json'), 'utf8')) as { version: string };
  expect(run(process.execPath, ['page.cjs'], consumer).trim()).toBe(`Chart.js v${version}`);
});

test('import and require give the same names', () => {
  const list = `console.log(JSON.stringify(Object.keys(quanto).filter((name) => !/^(__esModule|default|module\\.exports)$/.test(name)).sort()));`;
  writeFileSync(join(consumer, 'names.cjs'), `const quanto = require('quanto');${list}`);
  writeFileSync(join(consumer, 'names.mjs'), `import * as quanto from 'quanto';${list}`);
  const names = run(process.execPath, ['names.cjs'], consumer);
  expect(JSON.parse(names)).toContain('tensor');
  expect(run(process.execPath, ['names.mjs'], consumer)).toBe(names);
});

test('a strict TypeScript consumer compiles, as CommonJS and as ES module', () => {
  const source = `import { quantize, nn, qint8, tensor, type Tensor } from 'quanto';
const model = new nn.Sequential(new nn.Linear(4, 2), new nn.ReLU());
quantize(model, { weights: qint8 });
const output: Tensor = model.forward(tensor([[1, 2, 3, 4]]));
export const shape: readonly number[] = output.shape;
// @ts-expect-error a string is no number of features
export const wrong = new nn.Linear('4', 2);
`;
  writeFileSync(join(consumer, 'a.cts'), source);
  writeFileSync(join(consumer, 'b.mts'), source);
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,esnext.disposable', '--module', 'node16'];
  run(bin('tsc'), [...options, 'a.cts', 'b.mts'], consumer);
});

test('publint and attw find nothing', () => {
  run(bin('publint'), ['run', tarball, '--strict'], root);
  run(bin('attw'), [tarball], root);
});
