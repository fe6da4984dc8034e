import { dtypes as rows, type DType, type DTypeCode } from '../native';

import { QuantoError } from './error';

export type { DType };

/** Whatever carries a tensor's values out of `data()`: one class for each dtype (see `dtypes`). */
export type TypedArray = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;

interface DTypeInfo {
  readonly name: DType;
  /** Size of an element in bytes. */
  readonly bytes: number;
  readonly kind: 'real' | 'integer' | 'boolean';
  readonly typedArray: new (buffer: ArrayBuffer) => TypedArray;
}

const arrays = { Float32Array, Uint16Array, Int8Array, Uint8Array, Int32Array, BigInt64Array };

/** Every dtype by name, in the order of csrc/dtypes.def. */
export const dtypes: Readonly<Record<DType, DTypeInfo>> = Object.fromEntries(
  rows.map((row) => [row.name, { ...row, typedArray: arrays[row.typedArray] }]),
) as unknown as Record<DType, DTypeInfo>;

const codes = new Map<string, DTypeCode>(rows.map((row, code) => [row.name, code]));

/** The number by which the native side knows a dtype. */
export function dtypeCode(dtype: DType): DTypeCode {
  const code = codes.get(dtype);
  if (code === undefined) {
    throw new QuantoError('INVALID_ARGUMENT', `[dtype] expected one of ${[...codes.keys()].join(', ')} but got ${dtype as string}`);
  }
  return code;
}

export function dtypeOfCode(code: DTypeCode): DType {
  return rows[code].name;
}

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && codes.has(value);
}

export function isReal(dtype: DType): boolean {
  return dtypes[dtype].kind === 'real';
}
