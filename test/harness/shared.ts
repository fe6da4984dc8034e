import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = resolve(__dirname, '..', '..', '..', 'shared');

/** A file of the data folder beside the checkout. */
export function sharedPath(...parts: string[]): string {
  return resolve(folder, ...parts);
}

/** `describe`, or one skipped test that says why, where the files are absent. */
export function describeWith(files: readonly string[], name: string, body: () => void): void {
  const missing = files.filter((file) => !existsSync(sharedPath(file)));
  if (missing.length === 0) describe(name, body);
  // jest runs the body of a skipped describe, which would look for the files.
  else test.skip(`${name}: no ${missing.join(', ')} in ${folder}`, () => undefined);
}
