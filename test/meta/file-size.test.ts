import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, sources } from './sources';

const maxLines = 500;

test(`no source file has more than ${maxLines} lines`, () => {
  const folders = ['benchmarks', 'csrc', 'examples', 'lib', 'scripts', 'test'];
  const tooLong = folders
    .flatMap((folder) => sources(folder, '.ts', '.mts', '.mjs', '.h', '.cpp', '.def', '.sh'))
    .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
    .filter(({ lines }) => lines > maxLines);
  expect(tooLong).toEqual([]);
});
