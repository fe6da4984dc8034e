import { qfloat8, qfloat8_e4m3fn, qint8, QType, qtypes } from '../../lib';
import { toQType } from '../../lib/qtensor';
import { codeOf, errorOf } from '../harness/errors';

describe('qtypes', () => {
  // Names, bits, storage and ranges are those of the original.
  it.each([
    ['qint2', 2, 'int8', -2, 1, false],
    ['qint4', 4, 'int8', -8, 7, false],
    ['qint8', 8, 'int8', -128, 127, false],
    ['qfloat8_e4m3fn', 8, 'float8_e4m3fn', -448, 448, true],
    ['qfloat8_e4m3fnuz', 8, 'float8_e4m3fnuz', -240, 240, true],
    ['qfloat8_e5m2', 8, 'float8_e5m2', -57344, 57344, true],
  ])('%s', (name, bits, dtype, qmin, qmax, isFloatingPoint) => {
    expect(qtypes[name]).toEqual({ name, bits, dtype, qmin, qmax, isFloatingPoint });
    expect(String(qtypes[name])).toBe(`quanto.${name}`);
    expect(toQType(name)).toBe(qtypes[name]);
  });

  it('has a second name for the usual float8', () => {
    expect(qfloat8).toBe(qfloat8_e4m3fn);
    expect(qtypes.qfloat8).toBe(qfloat8_e4m3fn);
    expect(toQType('qfloat8').name).toBe('qfloat8_e4m3fn');
  });

  it('takes a type as well as its name', () => {
    expect(toQType(qint8)).toBe(qint8);
    const own = new QType('qint6', 6, 'int8', -32, 31, false);
    expect(toQType(own)).toBe(own);
  });

  it.each(['int8', '', '__proto__', 'constructor', 'toString', 'QINT8'])('does not know %p', (name) => {
    expect(codeOf(() => toQType(name))).toBe('INVALID_ARGUMENT');
  });

  it('names the types it knows when asked for another', () => {
    expect(errorOf(() => toQType('int8')).message).toBe(
      '[qtype] expected one of qint2, qint4, qint8, qfloat8_e4m3fn, qfloat8_e4m3fnuz, qfloat8_e5m2, qfloat8 but got int8',
    );
  });
});
