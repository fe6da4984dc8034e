/** A shell-style pattern on dotted module names: `*` matches anything, dots included, `?` one character, `[ab]` and `[!ab]` a set. */
function toRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\[!?\]?[^\]]*\]|[\s\S]/g, (piece) => {
    if (piece === '*') return '[\\s\\S]*';
    if (piece === '?') return '[\\s\\S]';
    if (piece.length > 1)
      return `[${piece[1] === '!' ? '^' : ''}${piece.slice(piece[1] === '!' ? 2 : 1, -1).replace(/[\\^[\]]/g, '\\$&')}]`;
    return piece.replace(/[\\^$.|+()[\]{}]/, '\\$&');
  });
  return new RegExp(`^${source}$`);
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
