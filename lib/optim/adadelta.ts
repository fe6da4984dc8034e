import { native } from '../native';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

import { Optimizer, type Params, type ParamState } from './optimizer';

export interface AdadeltaOptions {
  /** Factor on the step that the method finds itself. Default: 1. */
  lr: number;
  /** Decay rate of the running means of squares. Default: 0.9. */
  rho: number;
  /** Default: 1e-6. */
  eps: number;
  /** L2 penalty, added to the gradient. Default: 0. */
  weightDecay: number;
}

/** Adadelta (Zeiler 2012) with the defaults of torch.optim.Adadelta. */
export class Adadelta extends Optimizer<AdadeltaOptions> {
  constructor(params: Params<AdadeltaOptions>, options: Partial<AdadeltaOptions> = {}) {
    super(params, { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, ...options });
  }

  protected check(options: AdadeltaOptions): void {
    this.requireOptions(options, { rho: 0, eps: 0, weightDecay: 0 });
    if (options.rho > 1) throw new QuantoError('INVALID_ARGUMENT', `[Adadelta] expected rho from 0 to 1 but got ${options.rho}`);
  }

  protected update(parameter: Tensor, gradient: Tensor, state: ParamState, options: AdadeltaOptions): void {
    const squares = this.tensorOf(state, 'square_avg', parameter).native;
    const deltas = this.tensorOf(state, 'acc_delta', parameter).native;
    const { lr, rho, eps, weightDecay } = options;
    native.adadeltaStep(parameter.native, gradient.native, squares, deltas, lr, rho, eps, weightDecay);
  }
}
