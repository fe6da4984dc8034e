import { QuantoError } from '../tensor/error';
import { isTidied, tensorsIn } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { nativeActivation } from './activation';
import type { Fusion, FusingLayer } from './fusion';
import { Linear } from './linear';
import { type AnyModule, Module } from './module';
import { LayerNorm, RMSNorm } from './norm';

/** Makes a module a child under a name that is its key in the state dict. */
function setChild(parent: AnyModule, name: string, child: AnyModule): void {
  if (!(child instanceof Module)) {
    throw new QuantoError('INVALID_ARGUMENT', `[${parent.constructor.name}] expected a Module at '${name}' but got ${String(child)}`);
  }
  (parent as unknown as Record<string, AnyModule>)[name] = child;
}

/** The children of a Sequential; one that was added twice is there twice. */
const inOrder = (parent: Sequential): Module[] => Object.values(parent).filter((value): value is Module => value instanceof Module);

/** Whether a module or one below it has the tensor among its own properties, so that it may be used again. */
function holds(module: AnyModule, tensor: Tensor): boolean {
  return module.modules().some((part) => {
    const held = tensorsIn(Object.values(part));
    return tensor.parts().some((piece) => held.has(piece));
  });
}

/**
 * Runs modules one after another; the children are named '0', '1' and so on. A result between two children is freed as soon as it was
 * used (a small one at the end of the `tidy` around, if there is one), unless it is kept or a child holds it; a child that hands its
 * result to somebody else calls `keep` on it. Without a gradient a
 * quantized linear layer takes over the activation after it, and norms and linear layers the quantization of what a linear layer reads.
 */
export class Sequential extends Module {
  readonly [index: number]: Module;

  constructor(...modules: readonly Module[]) {
    super();
    modules.forEach((module, i) => setChild(this, String(i), module));
  }

  get length(): number {
    return this.namedChildren().length;
  }

  /** Adds a module at the end. */
  append(module: Module): this {
    setChild(this, String(this.length), module);
    return this;
  }

  [Symbol.iterator](): Iterator<Module> {
    return inOrder(this)[Symbol.iterator]();
  }

  override fusions(): readonly Fusion[] {
    const children = inOrder(this);
    return children.map((_, i) => fusionAt(children, i)).filter((fusion) => fusion !== null);
  }

  forward(src: Tensor): Tensor {
    let current = src;
    let producer: Module | null = null;
    const children = inOrder(this);
    for (let i = 0; i < children.length; i++) {
      const child = children[i];
      const fusion = fusionAt(children, i);
      const fused = fusion?.layer.fusedThen(current, fusion) ?? null;
      if (fused && fusion?.activation) i++;
      const next = fused ?? child.forward(current);
      if (producer && next !== current && isTemporary(current, src, producer, child)) current.dispose();
      if (next !== current) producer = child;
      current = next;
    }
    return current;
  }
}

/** What follows a child: an activation, and a layer that alone reads the result. */
function fusionAt(children: readonly Module[], i: number): (Fusion & { layer: FusingLayer }) | null {
  const layer = children[i];
  if (!(layer instanceof Linear || layer instanceof LayerNorm || layer instanceof RMSNorm)) return null;
  const activation = layer instanceof Linear ? nativeActivation(children[i + 1]) : undefined;
  const reader = children[activation ? i + 2 : i + 1];
  const readers = reader instanceof Linear ? [reader] : [];
  return activation || readers.length > 0 ? { layer, activation, readers } : null;
}

/** Elements of a result for which looking for holders takes longer than the memory is worth. */
const SMALL_RESULT = 65536;

function isTemporary(tensor: Tensor, input: Tensor, producer: Module, consumer: Module): boolean {
  if (isTidied() && tensor.numel <= SMALL_RESULT) return false;
  if (tensor === input || tensor.parts().some((part) => part.kept)) return false;
  return !holds(producer, tensor) && !holds(consumer, tensor);
}

/** A list of modules, named '0', '1' and so on, which its owner calls as it likes. */
export class ModuleList<M extends AnyModule = Module> extends Module<never, never> {
  readonly [index: number]: M;

  constructor(modules: Iterable<M> = []) {
    super();
    for (const module of modules) this.append(module);
  }

  get length(): number {
    return this.namedChildren().length;
  }

  append(module: M): this {
    setChild(this, String(this.length), module);
    return this;
  }

  *[Symbol.iterator](): Iterator<M> {
    for (const [, child] of this.namedChildren()) yield child as unknown as M;
  }

  forward(): never {
    throw new QuantoError('NOT_SUPPORTED', '[ModuleList] a list does nothing by itself; call forward of its modules');
  }
}

/** Modules by name, which its owner calls as it likes. */
export class ModuleDict<M extends AnyModule = Module> extends Module<never, never> {
  constructor(modules: Readonly<Record<string, M>> = {}) {
    super();
    for (const [name, module] of Object.entries(modules)) this.set(name, module);
  }

  get(name: string): M | undefined {
    return this.entries().find(([key]) => key === name)?.[1];
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Adds or replaces a module. */
  set(name: string, module: M): this {
    if (name === '' || name.includes('.') || (name in this && !this.has(name))) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[ModuleDict] '${name}' cannot be a key: it is empty, has a dot or names a member of Module`,
      );
    }
    setChild(this, name, module);
    return this;
  }

  delete(name: string): boolean {
    return this.has(name) && Reflect.deleteProperty(this, name);
  }

  keys(): string[] {
    return this.entries().map(([name]) => name);
  }

  values(): M[] {
    return this.entries().map(([, module]) => module);
  }

  entries(): [string, M][] {
    return this.namedChildren() as unknown as [string, M][];
  }

  [Symbol.iterator](): Iterator<[string, M]> {
    return this.entries()[Symbol.iterator]();
  }

  forward(): never {
    throw new QuantoError('NOT_SUPPORTED', '[ModuleDict] a dictionary does nothing by itself; call forward of its modules');
  }
}
