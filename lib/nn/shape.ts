import { flatten } from '../ops/shape';
import type { Tensor } from '../tensor/tensor';

import { Module } from './module';

/** Makes one dimension of those from `start` to `end`, both included; by default of all but the first. */
export class Flatten extends Module {
  constructor(
    readonly start = 1,
    readonly end = -1,
  ) {
    super();
  }

  forward(src: Tensor): Tensor {
    return flatten(src, this.start, this.end);
  }

  protected override extraRepr(): string {
    return `start=${this.start}, end=${this.end}`;
  }
}

/** Gives back its input. */
export class Identity extends Module {
  forward(src: Tensor): Tensor {
    return src;
  }
}
