// Calls every native function with random arguments: fuzz-arguments.ts SEED CALLS. Most arguments are of the right type, so that the
// checks behind the first one are reached; sizes are small or beyond any memory, so that nothing in between is really allocated.
// Prints one JSON line; a call that throws anything but a QuantoError is listed in it.
import { writeSync } from 'node:fs';

import { native, type NativeTensor } from '../../../lib/native';
import { QuantoError } from '../../../lib/tensor/error';
import { Tensor } from '../../../lib/tensor/tensor';

const [seed, calls] = process.argv.slice(2).map(Number);

/** Mulberry32. */
function randomNumbers(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = randomNumbers(seed);
const below = (count: number): number => Math.floor(random() * count);
const pick = <T>(items: readonly T[]): T => items[below(items.length)];

const sizes = [0, 1, 1, 2, 2, 3, 4, 5];
// Parameters that decide how much memory or time a call takes.
const amounts = new Set(['start', 'end', 'step', 'rows', 'columns', 'bytes', 'outputSize']);
const odd = [
  -1,
  -2,
  -0,
  0.5,
  NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  -(2 ** 31),
  2 ** 48,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  1e300,
  -1e300,
  5e-324,
];

/** Shapes of few elements, or of more than any memory: never of millions. */
function shape(): number[] {
  const dims = Array.from({ length: pick([0, 1, 2, 2, 3, 4, 4, 8]) }, () => pick(sizes));
  if (random() < 0.15) dims[below(dims.length + 1)] = pick([-1, -5, 2 ** 48, 2 ** 52, 2 ** 53 - 1]);
  return dims;
}

const made: NativeTensor[] = [];
function refill(): void {
  for (const tensor of made.splice(0)) native.dispose(tensor);
  const base = (dtype: number, of: number[]) => native.toDType(native.uniform(of, -2, 3, 0, 0), dtype);
  const dims = () => Array.from({ length: pick([0, 1, 2, 2, 3, 4]) }, () => pick(sizes));
  for (let dtype = 0; dtype < 11; dtype++) made.push(base(dtype, dims()), base(dtype, [3, 4]));
  made.push(native.permute(base(0, [4, 3]), [1, 0]), native.expand(base(0, [1, 4]), [3, 4]), native.slice(base(0, [9, 4]), 0, 0, 9, 3));
  made.push(native.packWeight(base(3, [8, 8])), base(6, [2, 2]), base(0, [1, 2, 5, 5]), base(0, [2, 2, 3, 3]), base(0, []));
  const disposed = base(0, [2]);
  native.dispose(disposed);
  made.push(disposed);
}

const throwing = () => {
  throw new RangeError('thrown by an argument');
};
function detached(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(array, { transfer: [array.buffer] });
  return array;
}
function disposing(): number {
  native.dispose(pick(made));
  return pick(sizes);
}
const hostile: (() => unknown)[] = [
  () => undefined,
  () => null,
  () => pick(odd),
  () => true,
  () => 10n ** 30n,
  () => Symbol('s'),
  () => 'cpu',
  () => ({}),
  () => Object.create(null) as unknown,
  () => ({ toString: throwing, valueOf: throwing, [Symbol.toPrimitive]: throwing }),
  () => new Proxy([1, 2], { get: throwing, getOwnPropertyDescriptor: throwing, has: throwing }),
  () => new Proxy({}, { get: throwing, getPrototypeOf: throwing }),
  () => new Proxy(pick(made), {}),
  () => Object.defineProperty([1, 2], pick([0, 1]), { get: throwing }),
  () => Object.defineProperty([1, 2], 1, { get: disposing }),
  () => new Array<number>(pick([1, 9, 2 ** 32 - 1])),
  () => Array.from({ length: 9 }, () => 1),
  () => [pick(odd), pick(odd)],
  () => detached(),
  () => new Uint8Array(new SharedArrayBuffer(8)),
  () => new DataView(new ArrayBuffer(8), 3),
  () => () => 1,
  () => Tensor,
  () => new Date(NaN),
  () => pick(made),
];

/** For `amounts`: nothing from a thousand to what no memory holds. */
const amount = (): unknown => pick<unknown>([0, 1, 2, 3, 5, -1, NaN, Infinity, 2 ** 48, 2 ** 53 - 1, -(2 ** 53), 1e300, 'many']);

const plausible: Record<string, () => unknown> = {
  number: () => (random() < 0.8 ? pick([0, 0, 1, 1, 2, 3, 0.5, -1]) : pick(odd)),
  boolean: () => random() < 0.5,
  string: () => pick(['', 'cpu', 'cuda:0', '/nowhere', 'a\0b', '/dev/null', __dirname, 'ü'.repeat(5000)]),
  NativeTensor: () => pick(made),
  'NativeTensor[]': () => Array.from({ length: below(4) }, () => pick(made)),
  'readonly number[]': shape,
  DTypeCode: () => (random() < 0.9 ? below(11) : pick([-1, 11, 2 ** 32])),
  DeviceCode: () => (random() < 0.9 ? 0 : pick([-1, 1, 2 ** 32])),
  ArrayBufferView: () => pick([new Float32Array(4), new Uint8Array(12), new BigInt64Array(2), Buffer.alloc(5), new ArrayBuffer(16)]),
};

function argument({ name, type }: { name: string; type: string }): unknown {
  if (amounts.has(name) && type === 'number') return amount();
  if (random() < 0.08) return pick(hostile)();
  if (type.endsWith(' | null')) return random() < 0.3 ? null : argument({ name, type: type.slice(0, -' | null'.length) });
  const make = plausible[type] as (() => unknown) | undefined;
  if (!make) throw new Error(`the fuzzer makes no ${type}`);
  return make();
}

// Changing the class of errors or the threads would change the test itself.
const left = new Set(['setErrorClass', 'setThreadCount']);
const { functions } = (native as unknown as { description: { functions: Record<string, string> } }).description;
const targets = Object.entries(functions)
  .filter(([name]) => !left.has(name))
  .map(([name, signature]) => {
    const parameters = signature.slice(1, signature.indexOf(') =>'));
    const parts = parameters === '' ? [] : parameters.split(', ').map((parameter) => parameter.split(': '));
    return { name, parameters: parts.map(([parameter, type]) => ({ name: parameter, type })) };
  });

const wrong: string[] = [];
const pending: Promise<void>[] = [];
const counts = { calls: 0, returned: 0, refused: 0 };

function judge(call: string, error: unknown): void {
  counts.refused++;
  if (error instanceof QuantoError && error.code !== 'INTERNAL') return;
  wrong.push(`${call}: ${error instanceof Error ? `${error.name} ${error.message}` : typeof error}`);
}

// The last line of a crashed run names the call.
const verbose = process.env.FUZZ_VERBOSE === '1';
for (let i = 0; i < calls; i++) {
  if (i % 200 === 0) refill();
  const { name, parameters } = targets[i % targets.length];
  const given = parameters.map(argument);
  if (random() < 0.05) given.length = below(given.length + 1);
  if (verbose) writeSync(2, `${i} ${name} ${given.map((value) => (Array.isArray(value) ? 'array' : typeof value)).join(' ')}\n`);
  counts.calls++;
  try {
    const result = (native as unknown as Record<string, (...values: unknown[]) => unknown>)[name](...given);
    counts.returned++;
    if (result instanceof Promise) pending.push(result.then(() => undefined, (error: unknown) => judge(`${i} ${name}`, error))); // prettier-ignore
  } catch (error) {
    judge(`${i} ${name}`, error);
  }
}

void Promise.all(pending).then(() => {
  // The library still works.
  const sum = native.binary(0, native.full([2], 1, 0, 0), native.full([2], 2, 0, 0));
  const alive = [...new Float32Array(native.readNow(sum))];
  console.log(JSON.stringify({ ...counts, wrong: wrong.slice(0, 20), alive }));
});
