import { type Device, isDevice } from '../tensor/device';
import { type DType, isDType, isReal } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { keep, tensorsIn } from '../tensor/scope';
import { Tensor } from '../tensor/tensor';

import type { Fusion } from './fusion';
import { deepCopy } from './deep-copy';
import { LoadReport, type LoadResult, type StateDict } from './state-dict';

/** Any module, whatever its forward takes and returns. */
export type AnyModule = Module<never, unknown>;

interface Hook {
  readonly call: (module: never, inputs: unknown, output: unknown) => unknown;
  readonly keeps: boolean;
}

export interface HookOptions {
  /** Whether the tensors that the hook sees outlive `tidy`. Default true; false for a hook that lets go of them when it returns. */
  keep?: boolean;
}

interface Hooked {
  readonly hooks: Hook[];
  readonly unshadow: () => void;
}
const hooked = new WeakMap<AnyModule, Hooked>();

/**
 * The base of all layers and models, as torch.nn.Module. A subclass assigns its parameters, buffers and child modules to properties, calls
 * `forward` of its children, and defines `forward`. State is found by walking own properties, so `#private` fields cannot hold any; the
 * names of the properties are the keys of the state dict.
 *
 * `forward` takes tensors and gives a tensor; a module with other operands or results says so: `class Tagger extends
 * nn.Module<[ids: number[]], Tensor[]>`.
 */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- for subclasses to say what their forward takes and returns
export abstract class Module<Inputs extends readonly unknown[] = Tensor[], Output = Tensor> {
  /** Whether the module learns: Dropout and BatchNorm2d behave differently then. See `train` and `eval`. */
  training = true;

  abstract forward(...inputs: Inputs): Output;

  /**
   * Which layers below are followed by what, as `forward` runs them with `forwardThen`: `explain` shows what runs in one native call.
   * A module that runs nothing so has none.
   */
  fusions(): readonly Fusion[] {
    return [];
  }

  /** Child modules by property name. */
  namedChildren(): [string, AnyModule][] {
    return Object.entries(this).filter((entry): entry is [string, AnyModule] => entry[1] instanceof Module);
  }

  children(): AnyModule[] {
    return [...new Set(this.namedChildren().map(([, child]) => child))];
  }

  /** This module (named '') and all below it by dotted path, parents first; a shared module appears once. */
  namedModules(): [string, AnyModule][] {
    const found = new Map<AnyModule, string>();
    const visit = (module: AnyModule, path: string) => {
      if (found.has(module)) return;
      found.set(module, path);
      for (const [name, child] of module.namedChildren()) visit(child, join(path, name));
    };
    visit(this, '');
    return [...found].map(([module, path]) => [path, module]);
  }

  modules(): AnyModule[] {
    return this.namedModules().map(([, module]) => module);
  }

  /** The learned tensors of this module and all below it; a shared one once, under its first name. */
  namedParameters(): [string, Tensor][] {
    return namedTensors(this, 'parameter');
  }

  parameters(): Tensor[] {
    return this.namedParameters().map(([, tensor]) => tensor);
  }

  /** State that is not learned: running statistics, quantization scales. */
  namedBuffers(): [string, Tensor][] {
    return namedTensors(this, 'buffer');
  }

  buffers(): Tensor[] {
    return this.namedBuffers().map(([, tensor]) => tensor);
  }

  /** The module at a dotted path; '' is this one. */
  getSubmodule(path: string): AnyModule {
    const names = path === '' ? [] : path.split('.');
    return names.reduce<AnyModule>((module, name) => {
      const children = module.namedChildren();
      const child = children.find(([key]) => key === name)?.[1];
      if (child) return child;
      const known = children.map(([key]) => key).join(', ') || 'no children';
      throw new QuantoError('INVALID_ARGUMENT', `[getSubmodule] '${path}': ${module.constructor.name} has no '${name}' but ${known}`);
    }, this);
  }

  /** Replaces the module at a dotted path by another one. */
  setSubmodule(path: string, replacement: AnyModule): void {
    if (path === '') throw new QuantoError('INVALID_ARGUMENT', "[setSubmodule] expected the path of a child but got ''");
    this.getSubmodule(path);
    const dot = path.lastIndexOf('.');
    const parent = this.getSubmodule(path.slice(0, Math.max(dot, 0)));
    (parent as unknown as Record<string, AnyModule>)[path.slice(dot + 1)] = replacement;
  }

  /** Calls a function with every module below this one, then with this one. */
  apply(visit: (module: AnyModule) => void): this {
    for (const child of this.children()) child.apply(visit);
    visit(this);
    return this;
  }

  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  requiresGrad_(flag = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = flag;
    return this;
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = null;
    }
  }

  /** Moves all state to a device, or changes the dtype of what is floating-point; parameters stay the same objects. */
  to(target: Device | DType): this {
    if (isDType(target) ? !isReal(target) : !isDevice(target)) {
      throw new QuantoError('INVALID_ARGUMENT', `[Module.to] expected a floating-point dtype or a device but got ${String(target)}`);
    }
    for (const tensor of [...this.parameters(), ...this.buffers()]) {
      convert(tensor, target);
      if (tensor.grad) convert(tensor.grad, target);
    }
    return this;
  }

  /** The state by PyTorch's names; the tensors share the module's memory. A shared tensor appears under each of its names. */
  stateDict(): Record<string, Tensor> {
    const out: Record<string, Tensor> = {};
    forEachPath(this, (module, prefix) => module.saveToStateDict(prefix, out));
    return out;
  }

  /**
   * Copies values into parameters and buffers; with `assign` the module takes over the tensors of the state dict, their dtype and device
   * included, and with `consume` each tensor of the state dict is freed as soon as its values are copied, so that a model and its state
   * dict are never in memory twice. Throws STATE_DICT and changes nothing when a shape differs, or when keys are missing or left over and
   * `strict` is not false.
   */
  loadStateDict(sd: StateDict, options: { strict?: boolean; assign?: boolean; consume?: boolean } = {}): LoadResult {
    const report = new LoadReport(sd, options.assign ?? false, options.consume ?? false);
    forEachPath(this, (module, prefix) => module.loadFromStateDict(prefix, sd, report));
    return report.finish(this.constructor.name, options.strict ?? true);
  }

  /** Writes the state of this module alone. Overridden where the form in files differs from the properties. */
  protected saveToStateDict(prefix: string, out: Record<string, Tensor>): void {
    for (const [name, tensor] of [...ownTensors(this, 'parameter'), ...ownTensors(this, 'buffer')]) out[prefix + name] = tensor.detach();
  }

  /** Reads the state of this module alone, the reverse of `saveToStateDict`; changes go through `report`. */
  protected loadFromStateDict(prefix: string, _sd: StateDict, report: LoadReport): void {
    for (const [name, tensor] of [...ownTensors(this, 'parameter'), ...ownTensors(this, 'buffer')]) report.load(prefix + name, tensor);
  }

  /** A copy with tensors of its own; tensors and modules that were shared stay shared among the copies. Hooks are not copied. */
  clone(): this {
    return deepCopy(this, new Map(), (value) => value instanceof Module) as this;
  }

  /**
   * Calls a function after each forward; what it returns, unless undefined, replaces the output. Tensors that a hook has seen are never
   * freed by `tidy` (see `keep` to change that). Returns a function that removes the hook.
   */
  registerForwardHook<M extends AnyModule>(
    this: M,
    hook: (module: M, inputs: Parameters<M['forward']>, output: ReturnType<M['forward']>) => ReturnType<M['forward']> | undefined,
    options: HookOptions = {},
  ): () => void {
    const { hooks, unshadow } = hooked.get(this) ?? shadowForward(this);
    const entry: Hook = {
      call: (module, inputs, output) => hook(module, inputs as Parameters<M['forward']>, output as ReturnType<M['forward']>),
      keeps: options.keep ?? true,
    };
    hooks.push(entry);
    return () => {
      const place = hooks.indexOf(entry);
      if (place < 0) return;
      hooks.splice(place, 1);
      if (hooks.length === 0) unshadow();
    };
  }

  /** Frees all parameters and buffers now; the module cannot be used afterwards. */
  dispose(): void {
    for (const tensor of [...this.parameters(), ...this.buffers()]) {
      tensor.grad?.dispose();
      tensor.dispose();
    }
  }

  /** What stands between the parentheses of `toString`, such as sizes. */
  protected extraRepr(): string {
    return '';
  }

  /** The tree of modules, as PyTorch prints it. */
  toString(): string {
    const children = this.namedChildren().map(([name, child]) => `  (${name}): ${child.toString().replaceAll('\n', '\n  ')}\n`);
    const extra = this.extraRepr();
    if (children.length === 0) return `${this.constructor.name}(${extra})`;
    return `${this.constructor.name}(\n${extra && `  ${extra}\n`}${children.join('')})`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

// Functions and no private methods: the declaration of a class made from a Module (QModule) could not name those.

/** A module's own tensors of a role, by property name. */
function ownTensors(module: AnyModule, role: 'parameter' | 'buffer'): [string, Tensor][] {
  return Object.entries(module).filter((entry): entry is [string, Tensor] => entry[1] instanceof Tensor && entry[1].role === role);
}

/** The tensors of a role in a module and all below it; a shared one once, under its first name. */
function namedTensors(root: AnyModule, role: 'parameter' | 'buffer'): [string, Tensor][] {
  const found = new Map<Tensor, string>();
  for (const [path, module] of root.namedModules()) {
    for (const [name, tensor] of ownTensors(module, role)) if (!found.has(tensor)) found.set(tensor, join(path, name));
  }
  return [...found].map(([tensor, name]) => [name, tensor]);
}

/** Visits every module with the prefix of its keys, a shared one at each of its paths. */
function forEachPath(module: AnyModule, visit: (module: AnyModule, prefix: string) => void, prefix = ''): void {
  visit(module, prefix);
  for (const [name, child] of module.namedChildren()) forEachPath(child, visit, `${prefix}${name}.`);
}

const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

/** Puts a forward that calls hooks in front of the module's own, on this instance alone. */
function shadowForward(module: AnyModule): Hooked {
  const hooks: Hook[] = [];
  const before = Object.getOwnPropertyDescriptor(module, 'forward');
  const own = module.forward.bind(module) as (...inputs: unknown[]) => unknown;
  const forward = (...inputs: unknown[]) => {
    let output = own(...inputs);
    if (hooks.some(({ keeps }) => keeps)) for (const tensor of tensorsIn([inputs, output])) keep(tensor);
    for (const { call } of [...hooks]) {
      const replacement = call(module as never, inputs, output);
      if (replacement !== undefined) output = replacement;
    }
    return output;
  };
  // Not enumerable, so that the walks over own properties do not see it.
  Object.defineProperty(module, 'forward', { value: forward, configurable: true, writable: true, enumerable: false });
  const unshadow = () => {
    hooked.delete(module);
    delete (module as Partial<AnyModule>).forward;
    if (before) Object.defineProperty(module, 'forward', before);
  };
  const entry = { hooks, unshadow };
  hooked.set(module, entry);
  return entry;
}

function convert(tensor: Tensor, target: Device | DType): void {
  if (isDType(target) && !isReal(tensor.dtype)) return;
  const converted = tensor.converted(target);
  tensor.replaceBy(converted);
  converted.dispose();
}
