import { native, type NativeTensor } from '../native';

/**
 * A native tensor shared by those who need it: the user's Tensor, and the tape for as long as its backward may read it.
 * Disposing the user's Tensor therefore never pulls a value from under the tape, and the tape never outlives its need. The native handle is
 * used again for another tensor, so nobody may hold it without a reference to this.
 */
export class Handle {
  private references = 1;
  /** The value of a one-element tensor, where the host knows it, and the version of the contents that it was true for. */
  known: { readonly value: number; readonly version: number } | undefined;

  constructor(readonly native: NativeTensor) {}

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references === 0) native.dispose(this.native);
  }
}
