import { nameFilter } from '../../lib/quantize/patterns';

const names = [
  'fc1',
  'fc2',
  'head',
  'blocks.0.fc1',
  'blocks.1.attn.q',
  'a1',
  'b1',
  'd1',
  'a',
  '-',
  '0',
  ']',
  '!',
  '[a',
  'a+b',
  'a\\x',
  '[]',
  '😀',
];
const matches = (pattern: string) => names.filter(nameFilter(pattern, undefined));

// What fnmatch.fnmatchcase of Python 3.11 says about these names.
describe('a pattern matches as fnmatch does', () => {
  const single = ['a', '-', '0', ']', '!', '😀'];
  it.each([
    ['*', names],
    ['**', names],
    ['fc1', ['fc1']],
    ['FC1', []],
    ['fc*', ['fc1', 'fc2']],
    ['*.fc1', ['blocks.0.fc1']],
    ['blocks.*', ['blocks.0.fc1', 'blocks.1.attn.q']],
    ['blocks.?.fc?', ['blocks.0.fc1']],
    ['*fc1', ['fc1', 'blocks.0.fc1']],
    ['?', single],
    ['[a-c]1', ['a1', 'b1']],
    ['[ad]1', ['a1', 'd1']],
    ['[!a-c]1', ['d1']],
    ['[a-c]*[0-9]', ['blocks.0.fc1', 'a1', 'b1']],
    // A set may begin with a bracket, and a bracket that nothing closes is a character.
    ['[]]', [']']],
    ['[!]]', single.filter((name) => name !== ']')],
    ['[]', ['[]']],
    ['[!]', []],
    ['[a', ['[a']],
    ['[[]a', ['[a']],
    ['[!!]', single.filter((name) => name !== '!')],
    // Hyphens at the ends are characters, ranges backwards are empty.
    ['[a-]', ['a', '-']],
    ['[-a]', ['a', '-']],
    ['[--0]', ['-', '0']],
    ['[z-a]', []],
    ['[!z-a]', single],
    ['[^a]', ['a']],
    // What means something else in regular expressions.
    ['a+b', ['a+b']],
    ['a\\*', ['a\\x']],
    ['fc(1|2)', []],
    ['fc.', []],
    ['', []],
  ])('%p', (pattern, expected) => {
    expect(matches(pattern)).toEqual(expected);
  });
});

describe('include and exclude', () => {
  const select = (include?: string | string[], exclude?: string | string[]) => names.slice(0, 5).filter(nameFilter(include, exclude));
  it('take one pattern or several; exclude wins', () => {
    expect(select()).toEqual(names.slice(0, 5));
    expect(select('fc*', 'fc2')).toEqual(['fc1']);
    expect(select(['fc*', 'head'], ['*2', 'h*'])).toEqual(['fc1']);
    expect(select(undefined, '*')).toEqual([]);
    expect(select([])).toEqual([]);
  });

  it('match the root, whose name is empty, by * alone', () => {
    expect(nameFilter('*', undefined)('')).toBe(true);
    expect(nameFilter('fc*', undefined)('')).toBe(false);
  });
});
