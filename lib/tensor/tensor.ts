import { native, type NativeTensor } from '../native';

import { type GradNode, backward } from './autograd';
import { type Device, deviceCode, deviceOfCode } from './device';
import { type DType, dtypeCode, dtypeOfCode, dtypes, isDType, type TypedArray } from './dtype';
import { QuantoError } from './error';
import { formatTensor } from './format';
import { Handle } from './handle';
import { showOp } from './op-observer';
import { keep, setTensorTest, trackTensor } from './scope';

/** Numbers nested as deep as the tensor has dimensions. */
export type NestedArray = number | boolean | bigint | NestedArray[];

export type TensorRole = 'parameter' | 'buffer' | null;

/**
 * A tensor: a typed, strided window on memory that ops share or copy as PyTorch's do. Ops return at once; `await data()` waits.
 * Every op of lib/ops is also a method (lib/ops/methods.ts).
 */
export class Tensor {
  #handle: Handle | null;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #packed: boolean | undefined;
  /** Accumulated by backward() on leaves that require a gradient; null until then. */
  grad: Tensor | null = null;
  /** @internal The recorded op that made this tensor, or the accumulator of a leaf. */
  node: GradNode | null = null;
  /** @internal `tidy` leaves it alone. */
  kept = false;
  /** What a module that has this tensor as a property uses it for; null for a tensor that is no part of its state. */
  readonly role: TensorRole = null;
  #requiresGrad = false;

  /** @internal Users call `tensor()`, `zeros()` and the like. */
  constructor(handle: Handle | null) {
    this.#handle = handle;
    if (handle) trackTensor(this);
  }

  /** @internal */
  static fromNative(handle: NativeTensor): Tensor {
    return new Tensor(new Handle(handle));
  }

  /** @internal The native tensor; throws DISPOSED after dispose(). */
  get native(): NativeTensor {
    if (!this.#handle) {
      throw new QuantoError('DISPOSED', '[tensor] this tensor was disposed; keep(t) a tensor that must outlive its tidy()');
    }
    return this.#handle.native;
  }

  /** @internal What the Tensors on one native tensor have in common, and no other ever has: native handles are used again. */
  get identity(): Handle {
    void this.native;
    return this.#handle as Handle;
  }

  /** @internal Another Tensor on the same native tensor, disposed on its own; no gradient history. */
  share(): Tensor {
    return new Tensor(Tensor.handleOf(this));
  }

  /** @internal A further reference to a tensor's handle, for a Tensor that shares it. */
  static handleOf(tensor: Tensor): Handle {
    return tensor.identity.retain();
  }

  /** @internal The value of a one-element tensor as far as it is known without reading the device. */
  get hostValue(): number | undefined {
    const known = this.#handle?.known;
    return known && native.versionOf(this.native) === known.version ? known.value : undefined;
  }

  /** @internal Notes a value that was written or read, as its dtype holds it. */
  setHostValue(value: number): this {
    if (this.#handle) this.#handle.known = { value, version: native.versionOf(this.native) };
    return this;
  }

  /** The value of another tensor that this one was copied from. */
  private adoptHostValue({ hostValue }: Tensor): this {
    return hostValue === undefined ? this : this.setHostValue(hostValue);
  }

  /** @internal Takes over the contents of another tensor and keeps its own identity: how a module changes dtype or device in place. */
  replaceBy(other: Tensor): void {
    const handle = Tensor.handleOf(other);
    this.#handle?.release();
    this.#handle = handle;
    this.#shape = undefined;
    this.#dtype = undefined;
    this.#packed = undefined;
  }

  /** @internal The same kind of tensor with memory of its own; no gradient history. */
  copy(): Tensor {
    return Tensor.fromNative(native.clone(this.native)).adoptHostValue(this);
  }

  /** @internal The same kind of tensor on a device or in a floating-point dtype; shares memory where nothing changes. */
  converted(target: Device | DType): Tensor {
    if (!isDType(target)) return Tensor.fromNative(native.toDevice(this.native, deviceCode(target))).adoptHostValue(this);
    return Tensor.fromNative(native.toDType(this.native, dtypeCode(target)));
  }

  /** @internal The plain tensors this one is made of: itself. QTensor answers with its codes and scales too. */
  parts(): readonly Tensor[] {
    return [this];
  }

  /** Sizes of the dimensions; [] for a single number. */
  get shape(): readonly number[] {
    return (this.#shape ??= Object.freeze(native.shapeOf(this.native)));
  }

  get dtype(): DType {
    return (this.#dtype ??= dtypeOfCode(native.dtypeOf(this.native)));
  }

  get device(): Device {
    return deviceOfCode(native.deviceOf(this.native));
  }

  /** Whether this is a QTensor. */
  get isQuantized(): boolean {
    return false;
  }

  /** @internal Whether this is a weight packed for its device's GEMM. */
  get isPacked(): boolean {
    return (this.#packed ??= native.isPacked(this.native));
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  get isDisposed(): boolean {
    return this.#handle === null;
  }

  /** Whether ops on this tensor are recorded for backward(). Settable on leaves of a floating-point dtype. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  set requiresGrad(flag: boolean) {
    if (flag && dtypes[this.dtype].kind !== 'real') {
      throw new QuantoError('DTYPE_MISMATCH', `[requiresGrad] only floating-point tensors have gradients, but this one is ${this.dtype}`);
    }
    if (!flag && !this.isLeaf) {
      throw new QuantoError('AUTOGRAD', '[requiresGrad] a computed tensor follows its operands; use detach() for one without history');
    }
    this.#requiresGrad = flag;
  }

  /** @internal Marks the result of a recorded op. */
  recordAs(node: GradNode): void {
    this.node = node;
    this.#requiresGrad = true;
  }

  /** True for tensors that no recorded op made. */
  get isLeaf(): boolean {
    return this.node === null || this.node.isLeaf;
  }

  /**
   * The values in row-major order, without blocking the event loop. float16 and bfloat16 come as raw bits in a Uint16Array, float8 and
   * bool in a Uint8Array, int64 in a BigInt64Array. Rejects with the error of any op this tensor was computed from.
   */
  async data(): Promise<TypedArray> {
    return new dtypes[this.dtype].typedArray(await native.readLater(this.native));
  }

  /** The same, blocking until the values are there. */
  dataSync(): TypedArray {
    return new dtypes[this.dtype].typedArray(native.readNow(this.native));
  }

  /** The row-major bytes, little-endian. Does not block the event loop. */
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await native.readLater(this.native));
  }

  bytesSync(): Uint8Array {
    return new Uint8Array(native.readNow(this.native));
  }

  /** Accumulates gradients into the leaves; `gradient` defaults to 1 for a tensor of one element. Frees the graph. */
  backward(gradient?: Tensor, options: { retainGraph?: boolean } = {}): void {
    backward(this, gradient, options.retainGraph ?? false);
  }

  /** The same values without gradient history; shares memory. */
  detach(): Tensor {
    const detached = this.share();
    showOp({ name: 'detach' }, [this], detached);
    return detached;
  }

  /** A float tensor returns itself; a QTensor returns scale x codes. */
  // eslint-disable-next-line @typescript-eslint/prefer-return-this-type -- a QTensor returns a plain Tensor
  dequantize(): Tensor {
    return this;
  }

  /** Frees the memory, unless views or a pending backward() still need it. Using the tensor afterwards throws DISPOSED. */
  dispose(): void {
    this.#handle?.release();
    this.#handle = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return formatTensor(this);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/**
 * A tensor that a module learns: requires a gradient, is found by `parameters()`, and is never freed by `tidy`. It shares the memory of
 * the tensor it is made from, without that one's history.
 */
export class Parameter extends Tensor {
  override readonly role = 'parameter';

  constructor(data: Tensor, requiresGrad = true) {
    super(Tensor.handleOf(data));
    this.kept = true;
    this.requiresGrad = requiresGrad;
  }
}

/** @internal Marks a tensor as the parameter of a module without making it another object: quantized weights. */
export function asParameter<T extends Tensor>(tensor: T): T {
  (tensor as { role: TensorRole }).role = 'parameter';
  return keep(tensor);
}

/** Marks a tensor as part of a module's state that is not learned (running statistics, scales): saved, moved, never freed by `tidy`. */
export function buffer<T extends Tensor>(tensor: T): T {
  (tensor as { role: TensorRole }).role = 'buffer';
  return keep(tensor);
}

setTensorTest((value): value is Tensor => value instanceof Tensor);
