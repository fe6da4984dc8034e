import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

import { reportFiles } from '../../benchmarks/report';

/** Without the alignment of tables. */
const plain = (text: string): string => text.replace(/[ -]+/g, ' ');

const files = [...reportFiles()].map(([path, text]) => [relative(process.cwd(), path), path, text] as const);

test.each(files)('%s is made from the checked-in results', (_, path, text) => {
  expect(plain(text)).toBe(plain(readFileSync(path, 'utf8')));
});

test('there are plots for each machine', () => {
  expect(files.filter(([name]) => name.endsWith('.svg')).length).toBeGreaterThanOrEqual(2);
});
