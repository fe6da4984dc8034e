import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = resolve(__dirname, '..', '..', '..', 'shared');

/** A file of the data folder beside the checkout. */
export function sharedPath(...parts: string[]): string {
  return resolve(folder, ...parts);
}

/** `describe`, or a skipped one that says why, where the files are absent. */
export function describeWith(files: readonly string[], name: string, body: () => void): void {
  const missing = files.filter((file) => !existsSync(sharedPath(file)));
  if (missing.length === 0) describe(name, body);
  else describe.skip(`${name} (skipped: no ${missing.join(', ')} in ${folder})`, body);
}
