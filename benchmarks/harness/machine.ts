// What a result must say of the machine, and the machine's own limits, measured in the same run.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { deviceInfo, version } from 'quanto';

export interface Limits {
  readonly threads: number;
  /** GOP/s of all threads by instruction set: 'int8 vnni', 'float32 avx512'; a multiply-add counts as two. */
  readonly peakGops: Readonly<Record<string, number>>;
  /** GB/s of all threads; a copy counts what it reads and what it writes. */
  readonly bandwidth: readonly { readonly bytes: number; readonly readGBs: number; readonly copyGBs: number }[];
}

export interface Machine {
  readonly cpu: string;
  readonly threads: number;
  readonly memoryBytes: number;
  readonly node: string;
  readonly quanto: string;
  /** Instruction sets and kernels that this library chose. */
  readonly kernels: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0].model.trim(),
    threads: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
    quanto: version,
    kernels: deviceInfo().cpu,
  };
}

/** Compiles and runs limits/limits.cpp; takes about 5 seconds. */
export function measureLimits(threads = availableParallelism()): Limits {
  const folder = join(__dirname, '../../build/limits');
  mkdirSync(folder, { recursive: true });
  const program = join(folder, 'limits');
  const source = join(__dirname, '../limits/limits.cpp');
  run(process.env.CXX ?? 'c++', ['-O2', '-std=c++20', '-pthread', source, '-o', program]);
  return JSON.parse(run(program, [String(threads)])) as Limits;
}

function run(command: string, args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`);
  return stdout;
}

/** The bandwidth measured on the buffer nearest in size. */
export function bandwidthFor(limits: Limits, bytes: number): Limits['bandwidth'][number] {
  const distance = (size: number) => Math.abs(Math.log(size / bytes));
  return limits.bandwidth.reduce((nearest, entry) => (distance(entry.bytes) < distance(nearest.bytes) ? entry : nearest));
}
