// Builds the CUDA plugin with nvcc: `node scripts/build-cuda.mjs [--arch=80] [--check]`. It goes beside the addon:
// build/Release/libquanto_cuda.so. Without --arch, for every architecture that the package serves. With --check it is compiled and linked
// without the headers of cuBLASLt, to show that nvcc takes the code, and goes nowhere. No GPU is needed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, '.cache/cublas');
const wheel = 'nvidia-cublas==13.10.0.20';

function fail(message) {
  console.error(message);
  process.exit(1);
}

const run = (command, args, options) => spawnSync(command, args, { stdio: 'inherit', ...options }).status === 0;

/** Folders of CUDA toolkits, the one that the user named first. */
const toolkits = [process.env.CUDA_PATH, process.env.CUDA_HOME, '/usr/local/cuda'].filter(Boolean);

function findNvcc() {
  if (spawnSync('nvcc', ['--version']).status === 0) return 'nvcc';
  return toolkits.map((folder) => join(folder, 'bin/nvcc')).find(existsSync);
}

/** The folder of cublasLt.h: the toolkit's, or that of the PyPI wheel, whose headers are kept in .cache. */
function findHeaders() {
  const folders = [...toolkits.map((folder) => join(folder, 'include')), join(cache, 'include')];
  const found = folders.find((folder) => existsSync(join(folder, 'cublasLt.h')));
  if (found) return found;
  console.log(`cublasLt.h is not in ${folders.join(' or ')}; fetching its headers from ${wheel} (420 MB, of which 1 MB is kept)`);
  const work = mkdtempSync(join(tmpdir(), 'quanto-cublas-'));
  try {
    if (!run('python3', ['-m', 'pip', 'download', wheel, '--no-deps', '--only-binary', ':all:', '--dest', work])) return undefined;
    const [file] = readdirSync(work);
    mkdirSync(join(cache, 'include'), { recursive: true });
    const program = `
import sys, zipfile, os, shutil
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.endswith('.h'):
            with wheel.open(name) as source, open(os.path.join(sys.argv[2], os.path.basename(name)), 'wb') as target:
                shutil.copyfileobj(source, target)
`;
    if (!run('python3', ['-c', program, join(work, file), join(cache, 'include')])) return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return existsSync(join(cache, 'include/cublasLt.h')) ? join(cache, 'include') : undefined;
}

const { values } = parseArgs({ options: { arch: { type: 'string' }, check: { type: 'boolean', default: false } } });
const nvcc = findNvcc();
if (!nvcc)
  fail(
    'The CUDA plugin needs nvcc of CUDA 13: install the CUDA toolkit (https://developer.nvidia.com/cuda-downloads) or set CUDA_PATH to it.',
  );
const include = values.check ? '' : findHeaders();
if (include === undefined)
  fail(`The CUDA plugin needs cublasLt.h: install the toolkit's cuBLAS (libcublas-dev), or make \`pip download ${wheel}\` work here.`);

const out = join(root, ['build/cmake-cuda', values.check && 'check', values.arch].filter(Boolean).join('-'));
const definitions = [
  '-DQUANTO_CUDA=ON',
  '-DCMAKE_BUILD_TYPE=Release',
  `-DCMAKE_CUDA_COMPILER=${nvcc}`,
  `-DQUANTO_CUBLASLT_INCLUDE=${include}`,
  ...(values.arch ? [`-DQUANTO_CUDA_ARCHITECTURES=${values.arch}-real`] : []),
];
const env = { ...process.env };
for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL']) delete env[name];
const built =
  run('cmake', ['-S', root, '-B', out, '--log-level=WARNING', ...definitions], { env }) &&
  run('cmake', ['--build', out, '--target', 'quanto_cuda', '--parallel', String(availableParallelism())], { env });
if (!built) fail('The CUDA build failed: the first error above says why.');
