import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { updatedReadme } from '../../benchmarks/report';

/** Without the alignment of tables. */
const plain = (text: string): string => text.replace(/[ -]+/g, ' ');

test("the README's performance section is made from the checked-in results", () => {
  expect(plain(updatedReadme())).toBe(plain(readFileSync(join(__dirname, '../../README.md'), 'utf8')));
});
