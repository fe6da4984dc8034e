import type { DType } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';

/** A quantized element type: how many bits, what stores them, and the range of their codes. */
export class QType {
  constructor(
    /** As files and options spell it. */
    readonly name: string,
    readonly bits: number,
    /** dtype of a code; for less than 8 bits of an unpacked one. */
    readonly dtype: DType,
    /** Range of the codes; scales are absmax / qmax. */
    readonly qmin: number,
    readonly qmax: number,
    readonly isFloatingPoint: boolean,
  ) {}

  toString(): string {
    return `quanto.${this.name}`;
  }
}

export const qint2 = new QType('qint2', 2, 'int8', -2, 1, false);
export const qint4 = new QType('qint4', 4, 'int8', -8, 7, false);
/** int8, symmetric: codes are clamped to -128..127, scales use 127. */
export const qint8 = new QType('qint8', 8, 'int8', -128, 127, false);
export const qfloat8_e4m3fn = new QType('qfloat8_e4m3fn', 8, 'float8_e4m3fn', -448, 448, true);
export const qfloat8_e4m3fnuz = new QType('qfloat8_e4m3fnuz', 8, 'float8_e4m3fnuz', -240, 240, true);
export const qfloat8_e5m2 = new QType('qfloat8_e5m2', 8, 'float8_e5m2', -57344, 57344, true);
/** The usual float8: e4m3fn. */
export const qfloat8 = qfloat8_e4m3fn;

const rows = [qint2, qint4, qint8, qfloat8_e4m3fn, qfloat8_e4m3fnuz, qfloat8_e5m2];

/** Every qtype by name; `qfloat8` is a second name of `qfloat8_e4m3fn`. */
export const qtypes: Readonly<Record<string, QType>> = Object.assign(Object.create(null) as Record<string, QType>, {
  ...Object.fromEntries(rows.map((qtype) => [qtype.name, qtype])),
  qfloat8,
});

/** A qtype from itself or its name. */
export function toQType(value: QType | string): QType {
  if (value instanceof QType) return value;
  const qtype = (qtypes as Partial<Record<string, QType>>)[value];
  if (qtype) return qtype;
  throw new QuantoError('INVALID_ARGUMENT', `[qtype] expected one of ${Object.keys(qtypes).join(', ')} but got ${value}`);
}
