// Test programs that need a process of their own: for what they measure, how they end, or because a bug would take the runner along.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface ChildResult {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly environment?: Record<string, string>;
  /** Options of Node itself. */
  readonly nodeOptions?: readonly string[];
  /** A limit in seconds after which it is killed: the test fails on the signal. Default: 60. */
  readonly timeout?: number;
  /** Limit of the process's address space in MiB. */
  readonly addressSpace?: number;
}

/** Runs a TypeScript file of the tests in a fresh Node process. */
export function runChild(file: string, args: readonly string[] = [], options: ChildOptions = {}): Promise<ChildResult> {
  const { environment = {}, nodeOptions = [], timeout = 60, addressSpace } = options;
  const command = [process.execPath, ...nodeOptions, '-r', join(__dirname, 'register.cjs'), file, ...args];
  const limited = addressSpace === undefined ? command : ['sh', '-c', `ulimit -v ${addressSpace * 1024} && exec "$@"`, 'sh', ...command];
  const child = spawn(limited[0], limited.slice(1), {
    cwd: join(__dirname, '../..'),
    env: { ...process.env, ...environment },
    timeout: timeout * 1000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => void (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => void (stderr += text.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout, stderr });
    });
  });
}

/** Runs a child that must succeed; returns what it printed, as JSON. */
export async function childReport<T>(file: string, args: readonly string[] = [], options: ChildOptions = {}): Promise<T> {
  const { status, signal, stdout, stderr } = await runChild(file, args, options);
  if (status === 0) return JSON.parse(stdout) as T;
  throw new Error(`${file} ended with ${signal ?? status}: ${stdout.slice(-2000)}${stderr.slice(-4000)}`);
}

/** Whether the tests run on a sanitizer build, which reserves address space and keeps freed memory. */
export const sanitized = /sanitize/.test(process.env.QUANTO_ADDON ?? '');
