import type { Tensor } from './tensor';

/** What sees ops as they are applied, with the tensors that went in and came out. */
export type OpObserver = (op: { readonly name: string }, inputs: readonly Tensor[], output: Tensor | null) => void;

let current: OpObserver | null = null;

/** @internal Lets a function see every op from here on, in the order of the calls, until the returned function is called. */
export function observeOps(observer: OpObserver): () => void {
  const before = current;
  current = observer;
  return () => (current = before);
}

/** @internal Shows the observer an op; those that `apply` does not compute call it themselves. One without a single result has none. */
export function showOp(op: { readonly name: string }, inputs: readonly Tensor[], output: Tensor | null): void {
  current?.(op, inputs, output);
}
