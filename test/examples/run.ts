import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(__dirname, '../..');
const hook = join(__dirname, 'quanto-from-sources.ts');

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs an example as a user would, in a process of its own, on the sources of the library. */
export async function runExample(file: string, ...args: readonly string[]): Promise<Outcome> {
  const child = spawn(process.execPath, ['-r', 'ts-node/register', '-r', hook, join('examples', file), ...args], { cwd: root });
  const outcome = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => (outcome[stream] += text));
  }
  const code = await new Promise<number | null>((finish, fail) => child.on('close', finish).on('error', fail));
  return { code, ...outcome };
}
