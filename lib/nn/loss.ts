import { crossEntropy, type CrossEntropyOptions, mseLoss, nllLoss, type NllOptions, type Reduction } from '../ops/loss';
import type { Tensor } from '../tensor/tensor';

import { Module } from './module';

/** Cross entropy of logits [N, C, ...] with classes (integers [N, ...]) or class probabilities (the logits' shape). */
export class CrossEntropyLoss extends Module {
  constructor(readonly options: CrossEntropyOptions = {}) {
    super();
  }

  forward(src: Tensor, target: Tensor): Tensor {
    return crossEntropy(src, target, this.options);
  }
}

/** -src[n, target[n]] of log probabilities [N, C, ...] for classes [N, ...]. */
export class NLLLoss extends Module {
  constructor(readonly options: NllOptions = {}) {
    super();
  }

  forward(src: Tensor, target: Tensor): Tensor {
    return nllLoss(src, target, this.options);
  }
}

/** (src - target)^2, by default its mean. */
export class MSELoss extends Module {
  constructor(readonly options: { reduction?: Reduction } = {}) {
    super();
  }

  forward(src: Tensor, target: Tensor): Tensor {
    return mseLoss(src, target, this.options);
  }
}
