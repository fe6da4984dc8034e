import { native } from '../native';
import { zeros } from '../ops/creation';
import { deviceCode } from '../tensor/device';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { keep } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

/** What an optimizer updates: a list of parameters, or groups of them with options of their own. */
export type Params<Options> = Iterable<Tensor> | Iterable<{ params: Iterable<Tensor> } & Partial<Options>>;

/** Parameters that share all options. */
export type ParamGroup<Options> = Options & { params: Tensor[] };

/** What an optimizer remembers of a parameter: updates so far, and float32 tensors in the parameter's shape by PyTorch's names. */
export interface ParamState {
  step: number;
  readonly tensors: Record<string, Tensor>;
}

/** State of an optimizer as data. Parameters are numbered through all groups in order. */
export interface OptimizerState<Options> {
  readonly state: Readonly<Record<number, ParamState>>;
  readonly paramGroups: readonly (Options & { params: number[] })[];
}

/**
 * The base of the optimizers. A subclass gives defaults and the update of one parameter. Updates happen in place; state is never freed by
 * `tidy`, but by `dispose()` or with the optimizer.
 */
export abstract class Optimizer<Options extends { lr: number }> {
  readonly paramGroups: ParamGroup<Options>[] = [];
  private readonly states = new Map<Tensor, ParamState>();

  constructor(
    params: Params<Options>,
    private readonly defaults: Options,
  ) {
    const items = [...params];
    if (items.length === 0) throw new QuantoError('INVALID_ARGUMENT', `[${this.name}] expected parameters but got an empty list`);
    if (items.every((item) => item instanceof Tensor)) {
      this.addParamGroup({ params: items } as { params: Tensor[] } & Partial<Options>);
    } else {
      for (const item of items) this.addParamGroup(item as { params: Iterable<Tensor> } & Partial<Options>);
    }
  }

  private get name(): string {
    return this.constructor.name;
  }

  /** Throws INVALID_ARGUMENT for options that make no sense. */
  protected abstract check(options: Options): void;

  /** Updates one parameter in place; `state.step` counts from 1. */
  protected abstract update(parameter: Tensor, gradient: Tensor, state: ParamState, options: Options): void;

  /** Adds parameters; options that are left out are those of the constructor. */
  addParamGroup(group: { params: Iterable<Tensor> } & Partial<Options>): void {
    const params = [...group.params];
    const known = new Set(this.paramGroups.flatMap((other) => other.params));
    for (const parameter of params) {
      if (!(parameter instanceof Tensor) || !parameter.isLeaf) {
        throw new QuantoError(
          'INVALID_ARGUMENT',
          `[${this.name}] expected leaf tensors such as model.parameters() but got ${String(parameter)}`,
        );
      }
      if (known.has(parameter)) {
        throw new QuantoError('INVALID_ARGUMENT', `[${this.name}] a parameter of shape [${parameter.shape.join(', ')}] was given twice`);
      }
      known.add(parameter);
    }
    // An option given as undefined means the default, too.
    const given = Object.fromEntries(Object.entries(group).filter(([, value]) => value !== undefined));
    const complete = { ...this.defaults, ...given, params } as ParamGroup<Options>;
    this.requireOptions(complete, { lr: 0 });
    this.check(complete);
    this.paramGroups.push(complete);
  }

  /** Throws unless each named option is a finite number from its least value on. */
  protected requireOptions(options: Options, least: Readonly<Record<string, number>>): void {
    for (const [name, low] of Object.entries(least)) {
      const value: unknown = options[name as keyof Options];
      if (typeof value === 'number' && Number.isFinite(value) && value >= low) continue;
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[${this.name}] expected ${name} to be a number of at least ${low} but got ${String(value)}`,
      );
    }
  }

  /** Learning rate of the first group; setting it sets it in all groups. */
  get lr(): number {
    return this.paramGroups[0].lr;
  }

  set lr(rate: number) {
    for (const group of this.paramGroups) {
      this.requireOptions({ ...group, lr: rate }, { lr: 0 });
      group.lr = rate;
    }
  }

  /** Updates every parameter that has a gradient. */
  step(): void {
    noGrad(() => {
      for (const group of this.paramGroups) {
        // A rate is a plain property, which anyone may set.
        this.requireOptions(group, { lr: 0 });
        for (const parameter of group.params) {
          if (!parameter.grad) continue;
          if (parameter.isQuantized) {
            throw new QuantoError('NOT_SUPPORTED', `[${this.name}] a quantized tensor cannot be updated; tune the model before freeze()`);
          }
          const state = this.stateOf(parameter);
          state.step++;
          this.update(parameter, parameter.grad, state, group);
        }
      }
    });
  }

  private stateOf(parameter: Tensor): ParamState {
    let state = this.states.get(parameter);
    if (!state) this.states.set(parameter, (state = { step: 0, tensors: {} }));
    return state;
  }

  /** A tensor of the state, zero at first. */
  protected tensorOf(state: ParamState, name: string, parameter: Tensor): Tensor {
    return (state.tensors[name] ??= keep(zeros(parameter.shape, { device: parameter.device })));
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.paramGroups.flatMap((group) => group.params)) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Options and state; the tensors share the optimizer's memory. */
  stateDict(): OptimizerState<Options> {
    const all = this.paramGroups.flatMap((group) => group.params);
    const state: Record<number, ParamState> = {};
    all.forEach((parameter, i) => {
      const known = this.states.get(parameter);
      if (!known) return;
      const tensors = Object.entries(known.tensors).map(([name, tensor]) => [name, tensor.detach()] as const);
      state[i] = { step: known.step, tensors: Object.fromEntries(tensors) };
    });
    return { state, paramGroups: this.paramGroups.map((group) => ({ ...group, params: group.params.map((p) => all.indexOf(p)) })) };
  }

  /** Copies options and state from an optimizer of the same groups. Throws STATE_DICT, and changes nothing, when they differ. */
  loadStateDict(saved: OptimizerState<Options>): void {
    const all = this.paramGroups.flatMap((group) => group.params);
    const sizes = (groups: readonly { params: readonly unknown[] }[]) => groups.map((group) => group.params.length).join(', ');
    if (sizes(saved.paramGroups) !== sizes(this.paramGroups)) {
      throw new QuantoError(
        'STATE_DICT',
        `[${this.name}.loadStateDict] expected groups of ${sizes(this.paramGroups)} parameters but got ${sizes(saved.paramGroups)}`,
      );
    }
    for (const [i, { tensors }] of Object.entries(saved.state)) {
      for (const [name, tensor] of Object.entries(tensors)) {
        const expected = all.at(Number(i))?.shape.join(', ') ?? 'no such parameter';
        if (tensor.shape.join(', ') === expected) continue;
        throw new QuantoError(
          'STATE_DICT',
          `[${this.name}.loadStateDict] ${name} of parameter ${i} expects shape [${expected}] but got [${tensor.shape.join(', ')}]`,
        );
      }
    }
    this.dispose();
    for (const [i, { step, tensors }] of Object.entries(saved.state)) {
      const parameter = all[Number(i)];
      const state = this.stateOf(parameter);
      state.step = step;
      for (const [name, tensor] of Object.entries(tensors)) copyInto(this.tensorOf(state, name, parameter), tensor);
    }
    saved.paramGroups.forEach((group, i) => Object.assign(this.paramGroups[i], { ...group, params: this.paramGroups[i].params }));
  }

  /** Frees the state. The next step begins anew. */
  dispose(): void {
    for (const state of this.states.values()) for (const tensor of Object.values(state.tensors)) tensor.dispose();
    this.states.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function copyInto(target: Tensor, source: Tensor): void {
  const local = source.device === target.device ? source.native : native.toDevice(source.native, deviceCode(target.device));
  native.copyInPlace(target.native, local);
}
