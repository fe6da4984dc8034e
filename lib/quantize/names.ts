import { type AnyModule, Module } from '../nn';
import { QuantoError } from '../tensor/error';

/** How many unknown names a message shows, and how many near ones of each. */
const SHOWN = 8;
const NEAR = 3;

/** A user may come from plain JavaScript. */
export function requireModel(op: string, value: unknown): void {
  if (value instanceof Module) return;
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected a module such as an nn.Sequential but got ${String(value)}`);
}

/** Every dotted path to a module: a shared module has several. */
export function modulePaths(model: AnyModule, prefix = ''): string[] {
  return model.namedChildren().flatMap(([name, child]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return [path, ...modulePaths(child, path)];
  });
}

/** How many characters must be inserted, deleted or replaced to make one text of another (Levenshtein 1966). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** The names most like another one: a third of it may differ, or a prefix that one of both lacks. */
function nearNames(name: string, names: readonly string[]): string[] {
  const most = Math.max(2, Math.floor(name.length / 3));
  const isTail = (long: string, short: string) => short !== '' && long.endsWith(`.${short}`);
  return names
    .map((known) => ({ known, distance: isTail(known, name) || isTail(name, known) ? 0 : editDistance(name, known) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, NEAR)
    .map(({ known }) => known);
}

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ');

/** Throws INVALID_ARGUMENT, with names like them, unless a model has modules of all names; '' is the model itself. */
export function requireModules(op: string, model: AnyModule, names: readonly string[]): void {
  const known = modulePaths(model);
  const all = new Set(['', ...known]);
  const unknown = names.filter((name) => !all.has(name));
  if (unknown.length === 0) return;
  const described = unknown.slice(0, SHOWN).map((name) => {
    const near = nearNames(name, known);
    return near.length > 0 ? `'${name}' (near: ${quoted(near)})` : `'${name}'`;
  });
  const more = unknown.length > SHOWN ? ` and ${unknown.length - SHOWN} more` : '';
  throw new QuantoError(
    'INVALID_ARGUMENT',
    `[${op}] expected a map of names of modules but the model has no ${described.join(', ')}${more}; correct them, or leave them out with exclude`,
  );
}
