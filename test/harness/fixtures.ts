// The reference fixtures: inputs and outputs of the original library (see README.md there). They lie beside the repository and may be
// absent; then their tests are skipped, and say so.
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { type Device, type DType, loadSafetensors, type Tensor, tensorFromBytes, to } from '../../lib';

export interface Tolerance {
  atol?: number;
  rtol?: number;
  /** Accepted together with `mean_atol_flip` when one rounding flip of an activation code moved the result. */
  atol_flip?: number;
  mean_atol_flip?: number;
  rtol_flip?: number;
  /** Codes may differ by that much ... */
  max_int_diff?: number;
  /** ... in that fraction of the entries. */
  max_fraction?: number;
}

export interface FixtureCase {
  id: string;
  topic: number;
  file: string;
  op: string;
  params: Record<string, unknown>;
  inputs: Record<string, string | string[]>;
  expected: Record<string, string>;
  tolerance: Record<string, 'exact' | Tolerance>;
  checks: string;
  upstream_defect?: string;
  float8_bytes?: boolean;
}

const root = resolve(__dirname, '../../../shared/fixtures');
const available = existsSync(join(root, 'index.json'));
const index = available ? (JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')) as { cases: FixtureCase[] }).cases : [];

export const fixturePath = (name: string): string => join(root, name);

/** Where tensors and models live: test/cuda/fixtures.test.ts runs these tests once more on another device. */
export const fixtureDevice: Device = process.env.QUANTO_FIXTURE_DEVICE ?? 'cpu';

/** The cases of a topic that pass a filter. */
export function fixtureCases(topic: number, filter: (entry: FixtureCase) => boolean = () => true): FixtureCase[] {
  return index.filter((entry) => entry.topic === topic && filter(entry));
}

/** A describe block that is skipped, with the reason in its title, where the fixtures are absent. */
export function describeFixtures(title: string, body: () => void): void {
  if (available) describe(title, body);
  else describe.skip(`${title} (skipped: the reference fixtures are not beside this checkout)`, () => it('needs ../shared/fixtures', body));
}

const files = new Map<string, Promise<Record<string, Tensor>>>();

async function readTensors(file: string): Promise<Record<string, Tensor>> {
  const tensors = await loadSafetensors(fixturePath(file));
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.to(fixtureDevice)]));
}

/** The tensors of a fixture file, read once. */
export function fixtureTensors(file: string): Promise<Record<string, Tensor>> {
  let tensors = files.get(file);
  if (!tensors) {
    tensors = readTensors(file);
    files.set(file, tensors);
  }
  return tensors;
}

/** The codes of a fixture: float8 lies there as raw bytes. */
export function asCodes(raw: Tensor, dtype: DType): Tensor {
  return raw.dtype === dtype ? raw : tensorFromBytes(raw.bytesSync(), dtype, raw.shape).to(raw.device);
}

/** Rows for `it.each`: the name of a case and the case. */
export function named(cases: readonly FixtureCase[]): [string, FixtureCase][] {
  return cases.map((entry) => [entry.id, entry]);
}

/** Values as numbers; float8 codes that a file holds as bytes are compared as bytes by the caller. */
export function numbers(tensor: Tensor): number[] {
  const plain = tensor.dequantize();
  const wide = plain.dtype === 'int64' ? plain : to(plain, plain.dtype === 'int32' ? 'int32' : 'float32');
  return Array.from(wide.dataSync() as ArrayLike<number | bigint>, Number);
}

/** Throws, naming the worst entry, unless the values agree as the tolerance says. NaN equals NaN. */
export function expectClose(what: string, actual: Tensor, expected: Tensor, tolerance: 'exact' | Tolerance): void {
  expect({ what, shape: [...actual.shape] }).toEqual({ what, shape: [...expected.shape] });
  const got = numbers(actual);
  const want = numbers(expected);
  const allowed = tolerance === 'exact' ? {} : tolerance;
  if (allowed.max_int_diff !== undefined) {
    const differences = got.map((value, i) => Math.abs(value - want[i]));
    expect({ what, largest: Math.max(0, ...differences) <= allowed.max_int_diff }).toEqual({ what, largest: true });
    const share = differences.filter((difference) => difference > 0).length / Math.max(1, got.length);
    expect({ what, share: share <= (allowed.max_fraction ?? 1) || share }).toEqual({ what, share: true });
    return;
  }
  const errors = got.map((value, i) => (Object.is(value, want[i]) || value === want[i] ? 0 : Math.abs(value - want[i])));
  const outside = (atol: number, rtol: number) => errors.findIndex((error, i) => !(error <= atol + rtol * Math.abs(want[i])));
  const { atol = 0, rtol = 0 } = allowed;
  const worst = outside(atol, rtol);
  if (worst < 0) return;
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  const flips = allowed.atol_flip !== undefined || allowed.rtol_flip !== undefined;
  if (flips && outside(allowed.atol_flip ?? atol, allowed.rtol_flip ?? rtol) < 0 && mean <= (allowed.mean_atol_flip ?? Infinity)) return;
  throw new Error(
    `${what}: entry ${worst} is ${got[worst]} but the reference says ${want[worst]} (tolerance ${JSON.stringify(tolerance)})`,
  );
}
