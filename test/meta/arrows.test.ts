import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { root, sources } from './sources';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

// What the files of a folder of lib/ may import, beside their own folder.
const core = ['native', 'tensor', 'ops'];
const siblings = ['nn', 'optim', 'qtensor', 'io'];
const mayImport: Record<string, string[]> = {
  native: [],
  tensor: ['native'],
  ops: ['native', 'tensor'],
  nn: core,
  optim: core,
  qtensor: core,
  io: core,
  quantize: [...core, ...siblings],
  report: [...core, ...siblings, 'quantize'],
  models: [...core, 'nn', 'io'],
  doctor: ['native', 'tensor', 'version'],
};

/** The imports of one file of lib/ that no arrow allows. */
function forbiddenImports(file: string, text: string): string[] {
  const folder = file.split('/')[1];
  return ts
    .preProcessFile(text)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((name) => name.startsWith('.'))
    .filter((name) => {
      const target = posix.join(posix.dirname(file), name).split('/')[1];
      return target !== folder && !mayImport[folder]?.includes(target);
    });
}

// What the C++ files of a folder may include, as paths below csrc/.
const mayInclude: Record<string, RegExp> = {
  cpu: /^((backend|dtype|huge_pages|philox|scalar_math)\.h|\w+\.def|cpu\/.+)$/,
  core: /^[^/]+$/,
  ops: /^(ops\/)?[^/]+$/,
  binding: /^((ops|binding)\/)?[^/]+$/,
};

// The CPU is linked in, and has settings of its own: these files, and no other above it, know it by name.
const knowTheCpu: Record<string, RegExp> = {
  'csrc/device.cpp': /^cpu\/backend\.h$/,
  'csrc/ops/inspect.cpp': /^cpu\/.+$/,
  'csrc/binding/addon.cpp': /^cpu\/isa\.h$/,
};

/** The includes of one file of csrc/ that no arrow allows. */
function forbiddenIncludes(file: string, text: string, files: string[]): string[] {
  const parts = file.split('/');
  const allowed = [mayInclude[parts.length === 2 ? 'core' : parts[1]], knowTheCpu[file]];
  return [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)]
    .map((match) => match[1])
    .filter((name) => {
      // A quoted name is looked up beside the file first, then below csrc/.
      const beside = posix.join(posix.dirname(file), name);
      const path = files.includes(beside) ? posix.relative('csrc', beside) : name;
      return !allowed.some((pattern) => pattern?.test(path));
    });
}

describe('arrows of lib/', () => {
  const files = sources('lib', '.ts', '.mts').filter((file) => posix.dirname(file) !== 'lib');

  test('imports follow them', () => {
    const violations = files.map((file) => ({ file, imports: forbiddenImports(file, read(file)) }));
    expect(violations.filter(({ imports }) => imports.length > 0)).toEqual([]);
  });

  test('an import between siblings, an import upwards and an unknown folder are found', () => {
    const text = "import { a } from '../qtensor/qtype';\nexport * from '../tensor';\nvoid import('../index');";
    expect(forbiddenImports('lib/nn/linear.ts', text)).toEqual(['../qtensor/qtype', '../index']);
    expect(forbiddenImports('lib/unknown/file.ts', text)).toHaveLength(3);
  });
});

describe('arrows of csrc/', () => {
  const files = sources('csrc', '.h', '.cpp', '.def');

  test('includes follow them', () => {
    const violations = files.map((file) => ({ file, includes: forbiddenIncludes(file, read(file), files) }));
    expect(violations.filter(({ includes }) => includes.length > 0)).toEqual([]);
  });

  test('an include of a higher layer is found', () => {
    const text = '#include "backend.h"\n#include "isa.h"\n#include "ops/unary.h"\n#include "tensor.h"\n';
    expect(forbiddenIncludes('csrc/cpu/unary.cpp', text, files)).toEqual(['ops/unary.h', 'tensor.h']);
    expect(forbiddenIncludes('csrc/ops/unary.cpp', '#include "cpu/isa.h"\n', files)).toEqual(['cpu/isa.h']);
  });

  test('the files of an instruction set include no C++ library header', () => {
    const headers = files
      .filter((file) => /_(avx2|avxvnni|avx512|vnni|amx|neon|dotprod)\.cpp$/.test(file))
      .flatMap((file) => [...read(file).matchAll(/^\s*#\s*include\s+<([^>]+)>/gm)].map((match) => `${file}: ${match[1]}`));
    expect(headers.filter((header) => !header.endsWith('.h'))).toEqual([]);
  });
});
