// npm run bench -- <name> [--json FILE] [--quick] [--only TEXT] [--no-rivals] [--python PATH]
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Argument, Command } from 'commander';

import { bert } from './bert';
import { conv } from './conv';
import type { Benchmark } from './harness/benchmark';
import { installPeers } from './harness/install';
import { runBenchmark, type RunOptions } from './harness/run';
import { describe } from './harness/table';
import { linear } from './linear';
import { load } from './load';
import { ops } from './ops';
import { overhead } from './overhead';
import { train } from './train';

interface Options extends RunOptions {
  readonly json?: string;
  readonly python?: string;
}

/** All benchmarks by name. */
export function benchmarks(python?: string): Readonly<Record<string, Benchmark>> {
  return Object.fromEntries([linear, conv, ops, bert, train(python), overhead, load].map((benchmark) => [benchmark.name, benchmark]));
}

async function main(name: string, options: Options): Promise<void> {
  const benchmark = benchmarks(options.python)[name];
  const foreign = benchmark.contestants.some((contestant) => !contestant.name.startsWith('quanto'));
  if (foreign && options.rivals !== false) installPeers();
  const result = await runBenchmark(benchmark, options);
  console.log(describe(result));
  if (options.json !== undefined) {
    mkdirSync(dirname(options.json), { recursive: true });
    writeFileSync(options.json, `${JSON.stringify(result)}\n`);
  }
}

if (require.main === module) {
  const all = benchmarks();
  const list = Object.values(all).map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`);
  void new Command('bench')
    .description('Times this library beside its rivals and the limits of the machine. Ratios of one run count, not times.')
    .addArgument(new Argument('<name>', 'the benchmark').choices(Object.keys(all)))
    .option('--json <file>', 'writes every sample, the ratios, the machine and the versions to a file')
    .option('--quick', 'few cases and samples: does everything work?')
    .option('--only <text>', "the cases whose label contains this, such as 'k=768 n=768'")
    .option('--no-rivals', 'this library alone')
    .option('--python <path>', 'a Python that has PyTorch, a rival in training')
    .addHelpText('after', `\nBenchmarks:\n${list.join('\n')}`)
    .action(main)
    .parseAsync();
}
