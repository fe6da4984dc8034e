import type { ContestantOptions } from './contestant';
import type { CaseResult } from './compare';
import type { Workload } from './protocol';

/** One case: what each contestant, by name, is to compute. */
export interface BenchmarkCase {
  readonly parameters: CaseResult['parameters'];
  readonly workloads: Readonly<Record<string, Workload>>;
  /** Multiply-adds count as two; what GOP/s are made from. */
  readonly operations?: number;
  /** Bytes that must cross memory at least once; what GB/s are made from. */
  readonly bytes?: number;
  /** Bytes of the largest tensor: the GB/s of a copy of so many are the yardstick. Default: half of `bytes`. */
  readonly largest?: number;
}

/** A pair of contestants whose speeds are compared: `of` over `to`. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
}

export interface Benchmark {
  readonly name: string;
  /** One line for --help and the report. */
  readonly summary: string;
  readonly contestants: readonly ContestantOptions[];
  readonly ratios: readonly Ratio[];
  readonly cases: readonly BenchmarkCase[];
  /** Names of the cases that --quick keeps; the first one when absent. */
  readonly quick?: (parameters: CaseResult['parameters']) => boolean;
}

/** This library in one precision. */
export const quanto = (precision: string): ContestantOptions => ({ name: `quanto ${precision}`, program: 'quanto.ts' });

/** onnxruntime-node in one precision. */
export const onnxruntime = (precision: string): ContestantOptions => ({ name: `onnxruntime ${precision}`, program: 'onnxruntime.ts' });

/** A whole model runs until the JavaScript engine has compiled what happens around its kernels: hundreds of times. In milliseconds. */
export const MODEL_WARM_UP = 1000;

/** A workload for each contestant named `library precision`, with the precision filled in. */
export function inEachPrecision(contestants: readonly ContestantOptions[], workload: Workload): Record<string, Workload> {
  return Object.fromEntries(contestants.map(({ name }) => [name, { ...workload, precision: name.slice(name.indexOf(' ') + 1) }]));
}
