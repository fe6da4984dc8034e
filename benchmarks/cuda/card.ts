// What a card can do, measured on it: large products and copies. The limits that figures of the benchmarks are held against.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Device } from 'quanto';

import { Contestant } from '../harness/contestant';
import { type Machine, describeMachine } from '../harness/machine';

export const products = ['int8', 'float16', 'bfloat16', 'float32'] as const;
export type Product = (typeof products)[number];

export interface Card {
  /** 10^12 operations a second of a square product with this type of elements; a multiply-add counts as two. */
  readonly tops: Readonly<Record<Product, number>>;
  /** GB/s of copies that write so many bytes; what is read and what is written both count. */
  readonly copies: readonly { readonly bytes: number; readonly gbs: number }[];
  /** Milliseconds of every sample, by what was measured. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

export interface Sizes {
  readonly product: number;
  readonly copies: readonly number[];
  /** Calls of a sample. */
  readonly calls: number;
}

const MiB = 1 << 20;
export const cardSizes: Sizes = { product: 8192, copies: [1, 4, 16, 64, 256, 1024].map((size) => size * MiB), calls: 20 };
export const quickSizes: Sizes = { product: 32, copies: [4096], calls: 2 };

const SAMPLES = 10;

/** Measures a device in a process of its own; the best sample counts, because a limit is what was reached once. */
export async function measureCard(device: Device, { product, copies, calls }: Sizes, samples = SAMPLES): Promise<Card> {
  const contestant = await Contestant.start({ name: 'quanto card', program: 'quanto.ts' });
  const taken: Record<string, readonly number[]> = {};
  const best = async (name: string, of: string, size: number): Promise<number> => {
    const prepared = await contestant.prepare({ name: 'peak', device, calls, of, size });
    if ('reason' in prepared) throw new Error(`${name} could not be measured: ${prepared.reason}`);
    taken[name] = (await contestant.sample(samples)).map((time) => Number(time.toPrecision(5)));
    return Math.min(...taken[name]);
  };
  try {
    const tops = {} as Record<Product, number>;
    for (const type of products) tops[type] = (2 * product ** 3) / (await best(`product of ${type}`, type, product)) / 1e9;
    const rates = [];
    for (const bytes of copies) rates.push({ bytes, gbs: (2 * bytes) / (await best(`copy of ${bytes} bytes`, 'copy', bytes)) / 1e6 });
    return { tops, copies: rates, samples: taken };
  } finally {
    await contestant.stop();
  }
}

/** The rate of copies that move about so many bytes: small ones stay in the card's cache, as small weights do. */
export function copyRate({ copies }: Card, bytes: number): number {
  const distance = (size: number) => Math.abs(Math.log((2 * size) / bytes));
  return copies.reduce((nearest, copy) => (distance(copy.bytes) < distance(nearest.bytes) ? copy : nearest)).gbs;
}

export interface CardMachine extends Machine {
  /** Lines of `npx quanto doctor`: devices, driver, runtime, cuBLASLt. */
  readonly doctor: readonly string[];
  /** The driver's version and clocks, as nvidia-smi tells them; empty where it is missing. */
  readonly driver: string;
}

export function describeCard(): CardMachine {
  const query = ['--query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  const doctor = spawnSync(process.execPath, [join(__dirname, '../../dist/doctor/cli.js'), 'doctor'], { encoding: 'utf8' });
  return { ...describeMachine(), doctor: doctor.stdout.trim().split('\n'), driver: status === 0 ? stdout.trim() : '' };
}
