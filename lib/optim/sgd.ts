import { native } from '../native';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

import { Optimizer, type Params, type ParamState } from './optimizer';

export interface SGDOptions {
  lr: number;
  momentum: number;
  /** Share of each gradient that does not enter the momentum, after the first. */
  dampening: number;
  /** L2 penalty, added to the gradient. */
  weightDecay: number;
  nesterov: boolean;
}

/** Stochastic gradient descent with momentum as torch.optim.SGD states it. */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: { lr: number } & Partial<SGDOptions>) {
    super(params, { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, ...options });
  }

  protected check(options: SGDOptions): void {
    this.requireOptions(options, { momentum: 0, dampening: -Infinity, weightDecay: 0 });
    if (options.nesterov && (options.momentum === 0 || options.dampening !== 0)) {
      throw new QuantoError('INVALID_ARGUMENT', '[SGD] nesterov needs a momentum above 0 and no dampening');
    }
  }

  protected update(parameter: Tensor, gradient: Tensor, state: ParamState, options: SGDOptions): void {
    const { lr, momentum, dampening, weightDecay, nesterov } = options;
    const first = state.tensors.momentum_buffer === undefined;
    const velocity = momentum === 0 ? null : this.tensorOf(state, 'momentum_buffer', parameter).native;
    native.sgdStep(parameter.native, gradient.native, velocity, lr, momentum, dampening, weightDecay, nesterov, first);
  }
}
