import { logSoftmax, softmax } from '../ops/norm';
import { gelu, relu, sigmoid, silu, tanh } from '../ops/unary';
import type { Tensor } from '../tensor/tensor';

import type { ActivationName } from './fusion';
import { type AnyModule, Module } from './module';

/** max(x, 0). */
export class ReLU extends Module {
  forward(src: Tensor): Tensor {
    return relu(src);
  }
}

/** x * P(X <= x) for a standard normal X; 'tanh' is the approximation of Hendrycks and Gimpel (2016). */
export class GELU extends Module {
  constructor(readonly options: { approximate?: 'none' | 'tanh' } = {}) {
    super();
  }

  forward(src: Tensor): Tensor {
    return gelu(src, this.options);
  }

  protected override extraRepr(): string {
    return `approximate=${this.options.approximate ?? 'none'}`;
  }
}

/** x * sigmoid(x), also called swish. */
export class SiLU extends Module {
  forward(src: Tensor): Tensor {
    return silu(src);
  }
}

export class Tanh extends Module {
  forward(src: Tensor): Tensor {
    return tanh(src);
  }
}

export class Sigmoid extends Module {
  forward(src: Tensor): Tensor {
    return sigmoid(src);
  }
}

/** exp(x) / sum(exp(x)) along an axis, the last by default. */
export class Softmax extends Module {
  constructor(readonly axis = -1) {
    super();
  }

  forward(src: Tensor): Tensor {
    return softmax(src, this.axis);
  }

  protected override extraRepr(): string {
    return `axis=${this.axis}`;
  }
}

/** log(softmax(x)), without overflow. */
export class LogSoftmax extends Module {
  constructor(readonly axis = -1) {
    super();
  }

  forward(src: Tensor): Tensor {
    return logSoftmax(src, this.axis);
  }

  protected override extraRepr(): string {
    return `axis=${this.axis}`;
  }
}

/** @internal The activation that a module is, where a native call may apply it instead: no hook, no subclass sees what it is given. */
export function nativeActivation(module: AnyModule | undefined): ActivationName | undefined {
  if (module instanceof ReLU && module.forward === ReLU.prototype.forward) return 'relu';
  if (module instanceof SiLU && module.forward === SiLU.prototype.forward) return 'silu';
  if (!(module instanceof GELU) || module.forward !== GELU.prototype.forward) return undefined;
  return module.options.approximate === 'tanh' ? 'geluTanh' : 'gelu';
}
