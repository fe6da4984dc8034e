// What the benchmark and its contestants say to each other: one JSON object a line. Each contestant is a process of its own, so that no
// library's threads, heap or compiled code disturb another's.

/** What to compute: the name of a workload and its parameters; see peers/quanto.ts and its siblings for the workloads of each. */
export interface Workload {
  readonly name: string;
  /** How long it runs untimed first, in milliseconds. Default: 60. */
  readonly warmUp?: number;
  readonly [parameter: string]: unknown;
}

export type Request =
  /** Builds a workload, warms it up and decides how many runs make one sample. */
  | { readonly type: 'prepare'; readonly workload: Workload }
  /** Times `count` samples of the workload prepared last. */
  | { readonly type: 'sample'; readonly count: number };

export type Reply =
  | { readonly type: 'ready'; readonly versions: Readonly<Record<string, string>> }
  /** `facts` is what the workload reports of itself: file sizes, kernels. */
  | { readonly type: 'prepared'; readonly facts: Readonly<Record<string, unknown>> }
  /** Milliseconds of one run each. */
  | { readonly type: 'samples'; readonly times: readonly number[] }
  /** The workload cannot run here; the reason goes into the report. */
  | { readonly type: 'failed'; readonly reason: string };
