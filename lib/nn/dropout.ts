import { dropout } from '../ops/random';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

import { Module } from './module';

/** In training each element is 0 with probability p and otherwise divided by 1 - p (Srivastava et al. 2014); else the input itself. */
export class Dropout extends Module {
  constructor(readonly p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1)) throw new QuantoError('INVALID_ARGUMENT', `[Dropout] expected p from 0 to 1 but got ${String(p)}`);
  }

  forward(src: Tensor): Tensor {
    return dropout(src, { p: this.p, training: this.training });
  }

  protected override extraRepr(): string {
    return `p=${this.p}`;
  }
}
