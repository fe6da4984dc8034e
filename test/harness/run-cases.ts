import { QuantoError } from '../../lib/tensor/error';

import { type Case, checksOf, devices, failureOf, type Failure } from './case';

/** Makes a jest test of every check of every row on every device; a failure says how to repeat it alone. */
export function runCases(rows: readonly Case[], failures: readonly Failure[] = []): void {
  const define = (name: string, run: () => void) => {
    test(name, () => {
      try {
        run();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`${message}\nrepeat it with: npx jest test/ops -t '${name}'`, { cause: error });
      }
    });
  };
  for (const device of devices()) {
    const place = device === 'cpu' ? '' : ` on ${device}`;
    for (const row of rows) {
      for (const { mode, run } of checksOf(row)) define(`${row.family} ${row.name} ${mode}${place}`, () => run(device));
    }
  }
  for (const { family, name, run, code, message } of failures) {
    define(`${family} error ${name}`, () => {
      const error = failureOf(run);
      expect(error).toBeInstanceOf(QuantoError);
      expect((error as QuantoError).code).toBe(code);
      // The op, what was expected, and what came.
      expect((error as QuantoError).message).toMatch(message ?? /^\[\w+\] .+/);
    });
  }
}
