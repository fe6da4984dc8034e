import { startProgress } from './progress';
import type { Benchmark, BenchmarkCase } from './benchmark';
import { type CaseResult, compare } from './compare';
import { Contestant } from './contestant';
import { describeMachine, type Limits, type Machine, measureLimits } from './machine';

export interface RunOptions {
  /** Fewer cases and samples, to see that everything works. */
  readonly quick?: boolean;
  /** Leaves the rivals out. */
  readonly rivals?: boolean;
  /** Keeps the cases whose label contains it. */
  readonly only?: string;
}

export interface BenchmarkResult {
  readonly name: string;
  readonly summary: string;
  readonly date: string;
  readonly machine: Machine;
  readonly limits: Limits;
  readonly versions: Readonly<Record<string, string>>;
  readonly ratios: Benchmark['ratios'];
  readonly results: readonly (CaseResult & Pick<BenchmarkCase, 'operations' | 'bytes' | 'largest'>)[];
}

export function label(parameters: CaseResult['parameters']): string {
  return Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** Runs a benchmark: every case, all contestants interleaved, each in its own process. */
export async function runBenchmark(benchmark: Benchmark, options: RunOptions): Promise<BenchmarkResult> {
  const limits = measureLimits();
  return {
    name: benchmark.name,
    summary: benchmark.summary,
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    limits,
    ...(await runCases(benchmark, options)),
  };
}

/** The cases of a benchmark, without the limits of the CPU. */
export async function runCases(
  benchmark: Benchmark,
  { quick = false, rivals = true, only }: RunOptions,
): Promise<Pick<BenchmarkResult, 'versions' | 'ratios' | 'results'>> {
  const keep = benchmark.quick ?? ((parameters) => parameters === benchmark.cases[0].parameters);
  const cases = benchmark.cases.filter(
    ({ parameters }) => (!quick || keep(parameters)) && (only === undefined || label(parameters).includes(only)),
  );
  const contestants: Contestant[] = [];
  const results: BenchmarkResult['results'][number][] = [];
  const progress = startProgress(benchmark.name, cases.length);
  try {
    for (const options of benchmark.contestants) {
      if (rivals || options.name.startsWith('quanto')) contestants.push(await Contestant.start(options));
    }
    for (const item of cases) {
      results.push(await runCase(item, contestants, quick));
      progress.step(label(item.parameters));
    }
  } finally {
    await Promise.all(contestants.map((contestant) => contestant.stop()));
    progress.done(`${results.length} cases`);
  }
  return {
    versions: Object.assign({}, ...contestants.map(({ versions }) => versions)) as Record<string, string>,
    ratios: benchmark.ratios,
    results,
  };
}

async function runCase(
  item: BenchmarkCase,
  contestants: readonly Contestant[],
  quick: boolean,
): Promise<BenchmarkResult['results'][number]> {
  const entries = contestants
    .filter(({ name }) => item.workloads[name] !== undefined)
    .map((contestant) => ({ contestant, workload: item.workloads[contestant.name] }));
  const { parameters, operations, bytes, largest } = item;
  const result = await compare(parameters, entries, quick ? { rounds: 2, samplesPerRound: 2 } : samplingFor(operations));
  return { ...result, operations, bytes, largest };
}

/** Large cases take seconds a round: they get fewer samples. */
function samplingFor(operations = 0): { rounds: number; samplesPerRound: number } {
  return operations > 2e10 ? { rounds: 5, samplesPerRound: 1 } : { rounds: 7, samplesPerRound: 3 };
}
