import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import * as quanto from '../../lib';
import { root, sources } from './sources';

const documents = ['README.md', 'CONTRIBUTING.md'].filter((name) => existsSync(join(root, name)));
const textOf = (name: string): string => readFileSync(join(root, name), 'utf8');

/** The programs of a document: a ts block that imports begins one, and the blocks after it continue it. */
function programs(markdown: string): string[] {
  const found: string[] = [];
  for (const [, block] of markdown.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
    if (found.length === 0 || /^import /m.test(block)) found.push(block);
    else found[found.length - 1] += block;
  }
  return found;
}

const readmePrograms = programs(textOf('README.md'));

test('the README shows code', () => {
  expect(readmePrograms.length).toBeGreaterThan(0);
});

test('its code type-checks', () => {
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)).config,
    ts.sys,
    root,
  );
  // ES modules, for the README awaits at the top level.
  const files = new Map(readmePrograms.map((program, i) => [join(root, `readme-${i}.mts`), program]));
  const ambient = sources('lib', '.d.ts').map((file) => join(root, file));
  const host = ts.createCompilerHost(options);
  const fileExists = host.fileExists.bind(host);
  const readFile = host.readFile.bind(host);
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([...files.keys(), ...ambient], options, host));
  expect(diagnostics.map((diagnostic) => ts.formatDiagnostic(diagnostic, { ...host, getCanonicalFileName: (name) => name }))).toEqual([]);
});

describe('its code runs', () => {
  const home = process.cwd();
  const folder = mkdtempSync(join(tmpdir(), 'quanto-readme-'));
  beforeAll(() => {
    process.chdir(folder);
  });
  afterAll(() => {
    process.chdir(home);
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(readmePrograms.map((program, i) => [i + 1, program] as const))('program %d', async (_number, program) => {
    const { outputText } = ts.transpileModule(program, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS },
    });
    const requireModule = createRequire(join(root, 'README.md'));
    const requireForReadme = (name: string): unknown => (name === 'quanto' ? quanto : requireModule(name));
    const quietConsole = { ...console, log: () => undefined, table: () => undefined };
    // The constructor of async functions, because the programs await.
    const AsyncFunction = (async () => undefined).constructor as new (...args: string[]) => (...args: unknown[]) => Promise<void>;
    await new AsyncFunction('require', 'exports', 'console', outputText)(requireForReadme, {}, quietConsole);
  });
});

test.each(documents)('every npm script that %s names exists', (name) => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
  const named = [...textOf(name).matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1]);
  expect(named.filter((script) => !(script in scripts))).toEqual([]);
});

test.each(documents)('every file that %s links to exists', (name) => {
  const links = [...textOf(name).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)].map((match) => match[1]);
  expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
});
