// Reverse-mode differentiation over a tape of recorded ops (as in PyTorch: eager, freed by backward, once).
import { BinaryOp, native, ReduceOp } from '../native';

import { deviceCode } from './device';
import { dtypeCode } from './dtype';
import { QuantoError } from './error';
import { noGrad } from './grad-mode';
import type { AnyOp } from './op';
import { tidy } from './scope';
import { Tensor } from './tensor';

/** What backward needs to know of an operand without holding it. */
export interface TensorMeta {
  readonly shape: readonly number[];
  readonly dtype: Tensor['dtype'];
}

/** A value kept for backward: its own reference to the memory, and the version of the contents when it was saved. */
class Saved {
  private readonly versions: number[];
  private readonly tensor: Tensor;

  constructor(
    tensor: Tensor,
    private readonly op: string,
  ) {
    this.tensor = tensor.share();
    for (const part of this.tensor.parts()) part.kept = true;
    this.versions = this.tensor.parts().map((part) => native.versionOf(part.native));
  }

  /** The value as a plain tensor. */
  open(): Tensor {
    this.tensor.parts().forEach((part, i) => {
      if (native.versionOf(part.native) === this.versions[i]) return;
      throw new QuantoError(
        'AUTOGRAD',
        `[${this.op}] a tensor of shape [${part.shape.join(', ')}] that backward needs was changed in place after the op; change a clone() instead`,
      );
    });
    return this.tensor.dequantize();
  }

  release(): void {
    this.tensor.dispose();
  }
}

let issued = 0;

/** One recorded op: what it saved, and where its gradients go. */
export class GradNode {
  /** Later nodes have larger numbers, so walking down the numbers visits users before producers. */
  readonly order = ++issued;
  readonly isLeaf: boolean = false;
  private saved: (Saved | null)[] | null;

  constructor(
    readonly op: AnyOp,
    readonly attributes: unknown,
    readonly edges: readonly (GradNode | null)[],
    readonly inputs: readonly TensorMeta[],
    saved: readonly (Tensor | null)[],
  ) {
    this.saved = saved.map((tensor) => tensor && new Saved(tensor, op.name));
  }

  /** Gradients for the inputs that have an edge, in the inputs' shapes and dtypes. */
  gradients(gradient: Tensor): (Tensor | null)[] {
    if (!this.saved) {
      throw new QuantoError(
        'AUTOGRAD',
        `[${this.op.name}] backward went through this part of the graph before and freed it; pass { retainGraph: true } to the first backward()`,
      );
    }
    const opened = this.saved.map((saved) => saved?.open() ?? null) as Tensor[];
    const thunks = this.op.vjp?.(gradient, opened, { attributes: this.attributes as never, inputs: this.inputs }) ?? [];
    return this.edges.map((edge, i) => (edge && thunks[i] ? fit(thunks[i](), this.inputs[i]) : null));
  }

  release(): void {
    this.saved?.forEach((saved) => saved?.release());
    this.saved = null;
  }
}

/** Where the gradients of a leaf end. */
class LeafNode extends GradNode {
  override readonly isLeaf = true;

  constructor(readonly leaf: Tensor) {
    super({ name: 'leaf', forward: () => leaf, vjp: null }, undefined, [], [], []);
  }
}

/** Sums a gradient over the dims that the op broadcast, and gives it the dtype of the operand. */
function fit(gradient: Tensor, input: TensorMeta): Tensor {
  let fitted = gradient;
  const { shape } = input;
  if (gradient.shape.length !== shape.length || gradient.shape.some((size, i) => size !== shape[i])) {
    const lead = gradient.shape.length - shape.length;
    const axes = gradient.shape.flatMap((size, i) => (i < lead || (shape[i - lead] === 1 && size !== 1) ? [i] : []));
    if (axes.length > 0) fitted = Tensor.fromNative(native.reduce(ReduceOp.sum, fitted.native, axes, true, 0));
    fitted = Tensor.fromNative(native.reshape(fitted.native, shape));
  }
  return gradient.dtype === input.dtype ? fitted : Tensor.fromNative(native.toDType(fitted.native, dtypeCode(input.dtype)));
}

/** The node through which gradients reach a tensor, or null when it needs none. */
export function nodeOf(tensor: Tensor): GradNode | null {
  if (!tensor.requiresGrad) return null;
  return (tensor.node ??= new LeafNode(tensor));
}

/** All nodes that a gradient at `root` can reach, users before producers. */
function reachable(root: GradNode): GradNode[] {
  const seen = new Set([root]);
  const open = [root];
  for (let node = open.pop(); node; node = open.pop()) {
    for (const edge of node.edges) {
      if (!edge || seen.has(edge)) continue;
      seen.add(edge);
      open.push(edge);
    }
  }
  return [...seen].sort((a, b) => b.order - a.order);
}

/** @internal See Tensor.backward. */
export function backward(root: Tensor, gradient: Tensor | undefined, retainGraph: boolean): void {
  const start = nodeOf(root);
  if (!start) {
    throw new QuantoError(
      'AUTOGRAD',
      '[backward] this tensor has no gradient history: no operand required a gradient, or it was made in noGrad',
    );
  }
  if (!gradient && root.numel !== 1) {
    throw new QuantoError(
      'AUTOGRAD',
      `[backward] expected a gradient for a tensor of shape [${root.shape.join(', ')}]; pass one of that shape, or reduce the tensor to one number`,
    );
  }
  if (gradient && (gradient.shape.length !== root.shape.length || gradient.shape.some((size, i) => size !== root.shape[i]))) {
    throw new QuantoError(
      'SHAPE_MISMATCH',
      `[backward] expected a gradient of shape [${root.shape.join(', ')}] but got [${gradient.shape.join(', ')}]`,
    );
  }
  noGrad(() => tidy(() => walk(root, start, gradient, retainGraph)));
}

function walk(root: Tensor, start: GradNode, gradient: Tensor | undefined, retainGraph: boolean): void {
  const pending = new Map<GradNode, Tensor>();
  const arrive = (node: GradNode, arrived: Tensor) => {
    const before = pending.get(node);
    // Each entry is a reference of its own, so that it can be freed as soon as it was used.
    pending.set(node, before ? Tensor.fromNative(native.binary(BinaryOp.add, before.native, arrived.native)) : arrived.share());
    before?.dispose();
  };
  arrive(start, gradient?.dequantize() ?? Tensor.fromNative(native.full(root.shape, 1, dtypeCode(root.dtype), deviceCode(root.device))));
  // Storages already given to a leaf: two leaves must not share one, or an in-place change of one gradient would change the other.
  const given = new Set<number>(gradient ? [native.storageOf(gradient.dequantize().native)] : []);
  for (const node of reachable(start)) {
    const arrived = pending.get(node);
    if (!arrived) continue;
    pending.delete(node);
    if (node instanceof LeafNode) {
      accumulate(node.leaf, arrived, given);
    } else {
      const gradients = tidy(() => node.gradients(arrived));
      node.edges.forEach((edge, i) => {
        const passed = gradients[i];
        if (edge && passed) arrive(edge, passed);
      });
      for (const passed of gradients) if (passed !== arrived) passed?.dispose();
      if (!retainGraph) node.release();
    }
    arrived.dispose();
  }
}

function accumulate(leaf: Tensor, arrived: Tensor, given: Set<number>): void {
  let total: Tensor;
  if (leaf.grad) {
    total = Tensor.fromNative(native.binary(BinaryOp.add, leaf.grad.native, arrived.native));
  } else if (given.has(native.storageOf(arrived.native)) || !native.isContiguous(arrived.native)) {
    total = Tensor.fromNative(native.clone(arrived.native));
  } else {
    total = arrived.share();
  }
  given.add(native.storageOf(total.native));
  total.kept = true;
  leaf.grad?.dispose();
  leaf.grad = total;
}
