import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root, sources } from './sources';

// Generated; a test of its own keeps it fresh.
const stubs = 'lib/native/stubs.ts';

/** Whether the file does anything when it runs, beside importing and re-exporting. */
function hasCode(file: string): boolean {
  const text = readFileSync(join(root, file), 'utf8');
  return ts
    .createSourceFile(file, text, ts.ScriptTarget.ES2022)
    .statements.some(
      (statement) =>
        !ts.isImportDeclaration(statement) &&
        !ts.isInterfaceDeclaration(statement) &&
        !ts.isTypeAliasDeclaration(statement) &&
        !(ts.isExportDeclaration(statement) && (statement.moduleSpecifier !== undefined || statement.isTypeOnly)),
    );
}

test('every file of lib/ with code has its test at the same path', () => {
  const withoutTest = sources('lib', '.ts')
    .filter((file) => !file.endsWith('.d.ts') && file !== stubs)
    .filter(hasCode)
    .map((file) => file.replace(/^lib\//, 'test/').replace(/\.ts$/, '.test.ts'))
    .filter((path) => !existsSync(join(root, path)));
  expect(withoutTest).toEqual([]);
});
