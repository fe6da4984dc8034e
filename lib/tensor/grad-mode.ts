import { AsyncScope } from './async-scope';

const recording = new AsyncScope<boolean>();

/** Whether ops record themselves for backward here. */
export function isGradEnabled(): boolean {
  return recording.current ?? true;
}

/** Whether an op on these operands is recorded: one of them needs a gradient, and recording is on. */
export function recordsGradient(operands: readonly ({ readonly requiresGrad: boolean } | null | undefined)[]): boolean {
  return operands.some((operand) => operand?.requiresGrad) && isGradEnabled();
}

/** Runs a function, synchronous or async, whose ops are not recorded for backward. Returns what it returns. */
export function noGrad<R>(body: () => R): R {
  return recording.run(false, body);
}

/** Records again inside a `noGrad`. */
export function enableGrad<R>(body: () => R): R {
  return recording.run(true, body);
}
