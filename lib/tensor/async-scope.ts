import { AsyncLocalStorage } from 'node:async_hooks';

import { QuantoError } from './error';

/** Whether a function went on asynchronously; promises of other realms and libraries count. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/**
 * A value that holds for a function and everything it awaits, and for nothing that runs beside it. Three forms: a callback,
 * an async callback, and `open()` for `using` (synchronous code only: it does not follow an await).
 */
export class AsyncScope<T> {
  private readonly storage = new AsyncLocalStorage<T | undefined>();
  // Looking up async storage costs more than a small op, so nobody looks while no scope is open anywhere.
  private active = 0;
  private readonly opened: T[] = [];

  get current(): T | undefined {
    if (this.active === 0) return undefined;
    return this.opened.at(-1) ?? this.storage.getStore();
  }

  /** Runs a function in the scope of a value; undefined: in none, whatever surrounds it. */
  run<R>(value: T | undefined, body: () => R): R {
    if (typeof body !== 'function') throw new QuantoError('INVALID_ARGUMENT', `[scope] expected a function but got ${String(body)}`);
    this.active++;
    let result: R;
    try {
      // An outer `using` must not hide this inner scope while its synchronous part runs.
      const hidden = this.opened.splice(0);
      try {
        result = this.storage.run(value, body);
      } finally {
        this.opened.unshift(...hidden);
      }
    } catch (error) {
      this.active--;
      throw error;
    }
    if (!isPromise(result)) {
      this.active--;
      return result;
    }
    const settled = () => void this.active--;
    result.then(settled, settled);
    return result;
  }

  /** Opens the scope until the returned function is called; scopes close in reverse order. */
  open(value: T): () => void {
    this.active++;
    this.opened.push(value);
    return () => {
      if (this.opened.at(-1) !== value) {
        throw new QuantoError('INVALID_ARGUMENT', '[using] expected scopes to close in reverse order; use the callback form across awaits');
      }
      this.opened.pop();
      this.active--;
    };
  }
}
