/** Characters as a regular expression reads them inside a set. */
const literal = (text: string): string => text.replace(/[\\^\]\-[]/g, '\\$&');

const codePoint = (character: string): number => character.codePointAt(0) ?? 0;

/** The body of a set such as `a-z_`, as a regular expression's; '' where it holds nothing, as `z-a`. */
function ranges(body: string): string {
  const characters = Array.from(body);
  let source = '';
  for (let i = 0; i < characters.length; i++) {
    const [first, dash, last] = characters.slice(i, i + 3);
    if (dash !== '-' || last === undefined) {
      source += literal(first);
      continue;
    }
    if (codePoint(first) <= codePoint(last)) source += `${literal(first)}-${literal(last)}`;
    i += 2;
  }
  return source;
}

function set(text: string): string {
  const negated = text.startsWith('[!');
  const body = ranges(text.slice(negated ? 2 : 1, -1));
  if (body === '') return negated ? '.' : '(?!)';
  return `[${negated ? '^' : ''}${body}]`;
}

/**
 * A shell-style pattern on dotted module names: `*` matches anything, dots included, `?` one character, `[a-c]` one of a set, `[!a-c]` one
 * beyond it. A set may begin with `]`; a bracket that nothing closes is a character.
 */
function toRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\[!?\][^\]]*\]|\[(?:!(?!\])|(?![!\]]))[^\]]*\]|[\s\S]/gu, (piece) => {
    if (piece === '*') return '.*';
    if (piece === '?') return '.';
    return piece.length > 1 && piece.startsWith('[') ? set(piece) : piece.replace(/[\\^$.|+(){}[\]/]/u, '\\$&');
  });
  return new RegExp(`^${source}$`, 'su');
}

/** A test on names: in any `include` pattern (all by default) and in no `exclude` pattern, as Python's fnmatch matches. */
export function nameFilter(
  include: string | readonly string[] | undefined,
  exclude: string | readonly string[] | undefined,
): (name: string) => boolean {
  const compile = (patterns: string | readonly string[]) => (typeof patterns === 'string' ? [patterns] : patterns).map(toRegExp);
  const included = compile(include ?? '*');
  const excluded = compile(exclude ?? []);
  return (name) => included.some((pattern) => pattern.test(name)) && !excluded.some((pattern) => pattern.test(name));
}
