import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, sources } from './sources';

// The linker keeps one copy of each weak symbol (an inline function, a template) for the whole addon. Kept from a file that was
// compiled for a newer instruction set, it would crash an older machine.
interface WeakSymbol {
  object: string;
  name: string;
}

const objects = sources('build/cmake', '.cpp.o');
const isaObjects = objects.filter((object) => /_(avx2|avxvnni|avx512|vnni|amx|neon|dotprod)\.cpp\.o$/.test(object));

function weakSymbols(paths: string[]): WeakSymbol[] {
  const output = execFileSync('nm', ['--demangle', '--defined-only', '-A', ...paths.map((path) => join(root, path))], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  // file:address type name
  return [...output.matchAll(/^(.+?):[0-9a-f]+ [VWu] (.+)$/gm)].map(([, object, name]) => ({ object, name }));
}

test('the build left its object files', () => {
  expect(existsSync(join(root, 'build/cmake'))).toBe(true);
  expect(objects.length).toBeGreaterThan(0);
});

test('no weak symbol of an instruction-set file is shared with another file or comes from the C++ library', () => {
  const everywhere = objects.length === 0 ? [] : weakSymbols(objects);
  const isaPaths = new Set(isaObjects.map((object) => join(root, object)));
  const users = new Map<string, Set<string>>();
  for (const { object, name } of everywhere) users.set(name, (users.get(name) ?? new Set()).add(object));
  const shared = everywhere.filter(
    ({ object, name }) => isaPaths.has(object) && ((users.get(name)?.size ?? 0) > 1 || /\b(std|__gnu_cxx)::/.test(name)),
  );
  expect(shared).toEqual([]);
});
