// The contestant's side of harness/protocol.ts.
import { createInterface } from 'node:readline';

import type { Reply, Request, Workload } from '../harness/protocol';

/** A workload made ready: one run is the whole computation, the reading of its result included. */
export interface Prepared {
  run(): Promise<unknown>;
  /** How many times a run does it; a time is that of one. Default: 1. */
  readonly calls?: number;
  /** What the report says of it beside times. */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Frees it before the next one is made. */
  dispose?(): void | Promise<void>;
}

export type Workloads = Readonly<Record<string, (workload: Workload) => Prepared | Promise<Prepared>>>;

const WARM_UP_MS = 60;
/** A sample lasts at least so long: below that the clock and the event loop would be measured. */
const SAMPLE_MS = 2;

/** Answers requests on standard input until it ends. */
export async function serve(workloads: Workloads, versions: Record<string, string>): Promise<void> {
  const reply = (message: Reply) => void process.stdout.write(`${JSON.stringify(message)}\n`);
  let prepared: Prepared | null = null;
  let runsPerSample = 1;
  reply({ type: 'ready', versions });
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    try {
      if (request.type === 'prepare') {
        await prepared?.dispose?.();
        prepared = null;
        const make = workloads[request.workload.name];
        if (!make) throw new Error(`this contestant has no workload '${request.workload.name}'`);
        prepared = await make(request.workload);
        runsPerSample = await warmUp(prepared, request.workload.warmUp);
        reply({ type: 'prepared', facts: prepared.facts ?? {} });
      } else {
        // The neighbours have taken the caches and put the threads to sleep since the last sample.
        await time(prepared!, runsPerSample);
        const times: number[] = [];
        for (let i = 0; i < request.count; i++) times.push(await time(prepared!, runsPerSample));
        reply({ type: 'samples', times });
      }
    } catch (error) {
      reply({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
    }
  }
}

async function warmUp(prepared: Prepared, milliseconds = WARM_UP_MS): Promise<number> {
  const start = performance.now();
  let fastest = Infinity;
  let runs = 0;
  do {
    fastest = Math.min(fastest, await time(prepared, 1));
    runs++;
  } while (runs < 3 || performance.now() - start < milliseconds);
  return Math.max(1, Math.ceil(SAMPLE_MS / (fastest * (prepared.calls ?? 1))));
}

async function time(prepared: Prepared, runs: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < runs; i++) await prepared.run();
  return (performance.now() - start) / (runs * (prepared.calls ?? 1));
}
