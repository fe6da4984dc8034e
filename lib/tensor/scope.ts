import { QuantoError } from './error';
import type { Tensor } from './tensor';

const scopes: Tensor[][] = [];

/** Whether a `tidy` is running, which will free the tensors made now. */
export const isTidied = (): boolean => scopes.length > 0;

/** Called for every tensor made; the innermost `tidy` will free it. */
export function trackTensor(tensor: Tensor): void {
  scopes.at(-1)?.push(tensor);
}

/**
 * Marks a tensor as one that `tidy` never frees: state that outlives a step. Parameters, buffers of the library's modules,
 * gradients, optimizer state and scales are marked already.
 */
export function keep<T extends Tensor>(tensor: T): T {
  for (const part of tensor.parts()) part.kept = true;
  return tensor;
}

/** The plain tensors inside a value: arrays, Maps, Sets and plain objects are searched, deeper objects are not. */
export function tensorsIn(value: unknown): Set<Tensor> {
  const found = new Set<Tensor>();
  const seen = new Set<unknown>();
  const visit = (item: unknown): void => {
    if (typeof item !== 'object' || item === null || seen.has(item)) return;
    seen.add(item);
    if (isTensor(item)) {
      for (const part of item.parts()) found.add(part);
      return;
    }
    if (Array.isArray(item) || item instanceof Map || item instanceof Set) {
      for (const inner of item.values()) visit(inner);
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(item);
    // Objects of another realm have another Object.prototype; theirs has no prototype either.
    if (prototype === null || Object.getPrototypeOf(prototype) === null) {
      for (const inner of Object.values(item)) visit(inner);
    }
  };
  visit(value);
  return found;
}

let isTensor: (value: unknown) => value is Tensor;
/** tensor.ts gives its class here, which keeps the two files free of an import cycle. */
export function setTensorTest(test: (value: unknown) => value is Tensor): void {
  isTensor = test;
}

/**
 * Runs a synchronous function and frees every tensor made inside but those in its result and those that are kept. Values that
 * backward still needs are not lost: the tape holds its own references.
 */
export function tidy<R>(body: () => R): R {
  if (typeof body !== 'function') throw new QuantoError('INVALID_ARGUMENT', `[tidy] expected a function but got ${String(body)}`);
  const made: Tensor[] = [];
  scopes.push(made);
  let result: R;
  try {
    result = body();
  } catch (error) {
    scopes.pop();
    for (const tensor of made) if (!tensor.kept) tensor.dispose();
    throw error;
  }
  scopes.pop();
  if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      '[tidy] expected a synchronous function but got one that returns a promise; call tidy inside it, around the synchronous parts',
    );
  }
  // Most results are one tensor, which needs no search and no set.
  const parts = isTensor(result) ? result.parts() : [];
  const found = isTensor(result) ? null : tensorsIn(result);
  for (const tensor of made) {
    if (tensor.kept) continue;
    if (found ? found.has(tensor) : parts.includes(tensor)) trackTensor(tensor);
    else tensor.dispose();
  }
  return result;
}
