// npm run bench:cuda -- [--device cuda:0] [--json FILE] [--quick] [--only TEXT]
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { type Device, QuantoError, zeros } from 'quanto';

import { type BenchmarkResult, runCases } from '../harness/run';
import { type Card, type CardMachine, cardSizes, describeCard, measureCard, quickSizes } from './card';
import { cudaBenchmarks } from './cases';
import { describeFigures, type Figure, figuresOf } from './roofline';

interface Options {
  readonly device: Device;
  readonly json: string;
  readonly quick?: boolean;
  readonly only?: string;
}

export interface CudaResult {
  readonly date: string;
  /** The emulator made it on a CPU: it shows that the benchmark works, and nothing about speed. */
  readonly emulated: boolean;
  readonly quick: boolean;
  readonly device: Device;
  readonly machine: CardMachine;
  readonly card: Card;
  readonly benchmarks: readonly (Pick<BenchmarkResult, 'name' | 'summary' | 'versions' | 'ratios' | 'results'> & {
    readonly figures: readonly (readonly Figure[])[];
  })[];
}

/** Runs the benchmarks of a GPU. Throws DEVICE_UNAVAILABLE with the reason where there is none. */
export async function benchCuda({ device, quick = false, only }: Omit<Options, 'json'>): Promise<CudaResult> {
  zeros([1], { device }).dispose();
  const emulated = process.env.QUANTO_CUDA_EMULATE === '1';
  if (emulated && !quick) {
    throw new QuantoError('NOT_SUPPORTED', '[bench:cuda] the emulator shows no speed; pass --quick to see that the benchmark works');
  }
  const card = await measureCard(device, quick ? quickSizes : cardSizes, quick ? 2 : undefined);
  const benchmarks = [];
  for (const benchmark of cudaBenchmarks(device, quick)) {
    const { name, summary } = benchmark;
    const measured = await runCases(benchmark, { quick, only });
    const figures = figuresOf(benchmark, measured.results, card);
    if (figures.length > 0) console.log(`${describeFigures(benchmark, measured.results, figures)}\n`);
    benchmarks.push({ name, summary, ...measured, figures });
  }
  return { date: new Date().toISOString().slice(0, 10), emulated, quick, device, machine: describeCard(), card, benchmarks };
}

async function main({ json, ...options }: Options): Promise<void> {
  const result = await benchCuda(options);
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `${JSON.stringify(result)}\n`);
  const { card, machine } = result;
  const peaks = Object.entries(card.tops).map(([type, tops]) => `${type} ${tops.toPrecision(3)}`);
  const copies = card.copies.map(({ bytes, gbs }) => `${(bytes / 2 ** 20).toPrecision(3)} MiB ${gbs.toPrecision(3)}`);
  console.log(`products, TOPS: ${peaks.join(', ')}; copies, GB/s: ${copies.join(', ')}`);
  console.log([...machine.doctor, machine.driver].filter(Boolean).join('\n'));
  if (result.emulated) console.log('EMULATED on a CPU: these figures say nothing about a GPU.');
  console.log(`The results are in ${json}`);
}

if (require.main === module) {
  void new Command('bench:cuda')
    .description('Times linear layers and an encoder on a GPU, beside what its own large products and copies reach in the same run.')
    .option('--device <name>', 'the device', 'cuda:0')
    .option(
      '--json <file>',
      'where every sample, the figures, the device, the driver and the versions go',
      join('build', 'bench-cuda.json'),
    )
    .option('--quick', 'tiny shapes and few samples: does everything work? With QUANTO_CUDA_EMULATE=1 it needs no GPU')
    .option('--only <text>', "the cases whose label contains this, such as 'k=4096 n=4096' or 'batch=8'")
    .action((options: Options) =>
      main(options).catch((error: unknown) => {
        console.error(error instanceof QuantoError ? `${error.code} ${error.message}` : error);
        process.exitCode = 1;
      }),
    )
    .parseAsync();
}
