// Lets a child process of the tests run TypeScript (node -r test/harness/register.cjs): files are compiled once and kept by their
// content, so that a child does not spend a second or more on loading the compiler.
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { threadId } = require('node:worker_threads');

const root = join(__dirname, '..', '..');
const cache = join(root, 'build', 'test-cache');
const settings = readFileSync(join(root, 'tsconfig.json'), 'utf8');

function compile(source, fileName) {
  const ts = require('typescript');
  const { compilerOptions } = ts.parseConfigFileTextToJson('tsconfig.json', settings).config;
  const options = { ...compilerOptions, module: 'CommonJS', moduleResolution: undefined, noEmit: false, inlineSourceMap: true };
  return ts.transpileModule(source, { compilerOptions: options, fileName }).outputText;
}

function compiled(fileName) {
  const source = readFileSync(fileName, 'utf8');
  const key = createHash('sha256').update(settings).update(source).digest('hex');
  const kept = join(cache, `${key}.js`);
  try {
    return readFileSync(kept, 'utf8');
  } catch {
    const code = compile(source, fileName);
    mkdirSync(cache, { recursive: true });
    // Children and their workers that compile the same file at once each rename a whole file of their own into place.
    const own = `${kept}.${process.pid}.${threadId}`;
    writeFileSync(own, code);
    renameSync(own, kept);
    return code;
  }
}

require.extensions['.ts'] = (module, fileName) => module._compile(compiled(fileName), fileName);
process.setSourceMapsEnabled(true);
