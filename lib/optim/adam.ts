import { native } from '../native';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

import { Optimizer, type Params, type ParamState } from './optimizer';

export interface AdamOptions {
  /** Default: 0.001. */
  lr: number;
  /** Decay rates of the running mean of gradients and of their squares. Default: [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Default: 1e-8. */
  eps: number;
  /** Adam: an L2 penalty added to the gradient, default 0. AdamW: taken from the parameter itself, default 0.01. */
  weightDecay: number;
}

/** Adam (Kingma and Ba 2015) with the defaults of torch.optim.Adam. */
export class Adam extends Optimizer<AdamOptions> {
  /** Whether weight decay acts on the parameter instead of the gradient. */
  protected readonly decoupled: boolean = false;

  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, ...options });
  }

  protected check(options: AdamOptions): void {
    this.requireOptions(options, { eps: 0, weightDecay: 0 });
    const betas: unknown = options.betas;
    if (!Array.isArray(betas) || betas.length !== 2 || !betas.every((beta: unknown) => typeof beta === 'number' && beta >= 0 && beta < 1)) {
      throw new QuantoError('INVALID_ARGUMENT', `[Adam] expected two betas from 0 to below 1 but got ${String(betas)}`);
    }
  }

  protected update(parameter: Tensor, gradient: Tensor, state: ParamState, options: AdamOptions): void {
    const { lr, betas, eps, weightDecay } = options;
    const mean = this.tensorOf(state, 'exp_avg', parameter).native;
    const square = this.tensorOf(state, 'exp_avg_sq', parameter).native;
    const { decoupled } = this;
    native.adamStep(parameter.native, gradient.native, mean, square, lr, betas[0], betas[1], eps, weightDecay, decoupled, state.step);
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019). */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super(params, { weightDecay: 0.01, ...options });
  }
}
