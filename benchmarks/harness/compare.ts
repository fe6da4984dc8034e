// Interleaved timing of several contestants: a time alone means nothing on a shared machine, a ratio of medians of one run does.
import { setTimeout as sleep } from 'node:timers/promises';

import type { Contestant } from './contestant';
import type { Workload } from './protocol';

/** Idle threads of a library may spin for a while; the next contestant waits until they sleep, in milliseconds. */
const PAUSE = 40;

/** What one contestant did in one case. */
export interface Timing {
  readonly contestant: string;
  /** Milliseconds of a run: every sample, in order. */
  readonly samples: readonly number[];
  readonly median: number;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface CaseResult {
  /** The case's parameters: { m: 16, k: 768, n: 768 }. */
  readonly parameters: Readonly<Record<string, number | string>>;
  readonly timings: readonly Timing[];
  /** Contestants that could not run it, and why. */
  readonly absent: Readonly<Record<string, string>>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Times a case: in each round every contestant takes a few samples, in an order that turns by one from round to round, so that a slow
 * moment of the machine and the neighbour's warm cache hit all alike.
 * @param entries the contestants and each one's workload
 */
export async function compare(
  parameters: CaseResult['parameters'],
  entries: readonly { contestant: Contestant; workload: Workload }[],
  { rounds, samplesPerRound }: { rounds: number; samplesPerRound: number },
): Promise<CaseResult> {
  const absent: Record<string, string> = {};
  const running: { contestant: Contestant; facts: Timing['facts']; samples: number[] }[] = [];
  for (const { contestant, workload } of entries) {
    const prepared = await contestant.prepare(workload);
    if ('reason' in prepared) absent[contestant.name] = prepared.reason;
    else running.push({ contestant, facts: prepared.facts, samples: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < running.length; i++) {
      const entry = running[(i + round) % running.length];
      await sleep(PAUSE);
      // Five digits are more than any clock is worth, and keep the checked-in results small.
      entry.samples.push(...(await entry.contestant.sample(samplesPerRound)).map((time) => Number(time.toPrecision(5))));
    }
  }
  const timings = running.map(({ contestant, facts, samples }) => ({
    contestant: contestant.name,
    samples,
    median: median(samples),
    facts,
  }));
  return { parameters, timings, absent };
}

/** How many times as fast as `rival` a contestant is: ratio of medians; null where one is absent. */
export function speedup(result: CaseResult, contestant: string, rival: string): number | null {
  const of = (name: string) => result.timings.find((timing) => timing.contestant === name)?.median;
  const [ours, theirs] = [of(contestant), of(rival)];
  return ours === undefined || theirs === undefined ? null : theirs / ours;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
