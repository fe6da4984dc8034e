import { GradNode, nodeOf, type TensorMeta } from './autograd';
import { isReal } from './dtype';
import { QuantoError } from './error';
import { recordsGradient } from './grad-mode';
import { showOp } from './op-observer';
import { Tensor } from './tensor';

/** What a vjp knows beside the values it saved. */
export interface VjpContext<A> {
  readonly attributes: A;
  /** Shapes and dtypes of the inputs. */
  readonly inputs: readonly TensorMeta[];
}

/**
 * The vector-Jacobian product of an op: from the gradient of its output to one function for each input that gives that input's
 * gradient (called only when it is needed). Gradients of broadcast inputs may keep the output's shape: they are summed afterwards.
 */
export type Vjp<A> = (gradient: Tensor, saved: readonly Tensor[], context: VjpContext<A>) => readonly (() => Tensor)[];

/** One op: what it computes on plain tensors, what it saves, and its gradient. An op without a gradient says `vjp: null`. */
export interface Op<A = undefined> {
  readonly name: string;
  /** Extra results that only backward reads go in `extras`. */
  readonly forward: (inputs: readonly Tensor[], attributes: A) => Tensor | Result;
  /** What the vjp reads; none by default. */
  readonly save?: (inputs: readonly Tensor[], output: Tensor, extras: readonly Tensor[]) => readonly (Tensor | null)[];
  readonly vjp: Vjp<A> | null;
}

export interface Result {
  readonly output: Tensor;
  readonly extras: readonly Tensor[];
}

/** An op of any attributes, for tables that only pass them on. */
export type AnyOp = Op<never>;

/** How an op with a quantized operand is computed; qtensor/rules.ts provides it. */
export type QuantizedDispatch = <A>(op: Op<A>, inputs: readonly Tensor[], attributes: A) => Tensor | Result;

let quantizedDispatch: QuantizedDispatch | null = null;
export function setQuantizedDispatch(dispatch: QuantizedDispatch): void {
  quantizedDispatch = dispatch;
}

/** @internal A user may come from plain JavaScript. */
export function requireTensor(op: string, value: unknown): Tensor {
  if (value instanceof Tensor) return value;
  throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected a Tensor but got ${String(value)}; make one with tensor(...)`);
}

/** @internal Whether two shapes are the same. */
export function sameSizes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** @internal Throws SHAPE_MISMATCH where an operand has another shape. */
export function requireShape(op: string, name: string, value: unknown, wanted: readonly number[]): void {
  const { shape } = requireTensor(op, value);
  if (sameSizes(shape, wanted)) return;
  throw new QuantoError('SHAPE_MISMATCH', `[${op}] expected ${name} of shape [${wanted.join(', ')}] but got [${shape.join(', ')}]`);
}

/** Computes an op, quantized where a rule says how, and records it where a gradient is asked for. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  for (const input of inputs) requireTensor(op.name, input);
  const result =
    quantizedDispatch && inputs.some((input) => input.isQuantized)
      ? quantizedDispatch(op, inputs, attributes)
      : op.forward(inputs, attributes);
  const { output, extras } = 'output' in result ? result : { output: result, extras: [] };
  if (op.vjp && recordsGradient(inputs) && isReal(output.dtype)) {
    const saved = op.save?.(inputs, output, extras) ?? [];
    const metas = inputs.map(({ shape, dtype }) => ({ shape, dtype }));
    output.recordAs(new GradNode(op, attributes, inputs.map(nodeOf), metas, saved));
  }
  showOp(op, inputs, output);
  // The tape has its own references by now.
  for (const extra of extras) extra.dispose();
  return output;
}
