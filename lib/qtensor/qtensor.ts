import { native, type NativeTensor } from '../native';
import * as raw from '../ops/raw';
import { type Device, deviceCode } from '../tensor/device';
import { type DType, isDType, isReal, type TypedArray } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import { matmulPrecisionNumber } from '../tensor/matmul-precision';
import { apply, type Op } from '../tensor/op';
import { keep } from '../tensor/scope';
import { Tensor, type TensorRole } from '../tensor/tensor';

import { countFallback } from './fallbacks';
import type { QType } from './qtype';

/**
 * What has a scale of its own: each index of the first or of the last dim, each token (every vector along the last dim), or null: one
 * scale for all.
 */
export type QAxis = 0 | -1 | 'token' | null;

/** A module whose output a calibration may keep quantized, if whoever consumes it takes integers. */
export interface Producer {
  outputRequired: boolean;
}

/** The tensors that a quantized tensor is made of. Move, clone, compare, print and save follow from this declaration. */
export interface QTensorParts {
  /** Integer or float8 codes in the shape of the values; a weight's may be packed for its device's GEMM. */
  codes: Tensor;
  /** Floats, one or one for each index along `axis`, in a shape that broadcasts to the values. */
  scale: Tensor;
  /** For less than 8 bits: what is taken off the values, floats or integers, in the shape of the scale. */
  shift?: Tensor;
}

const partsOf = ({ codes, scale, shift }: QTensorParts): readonly Tensor[] => (shift ? [codes, scale, shift] : [codes, scale]);

/** State-dict names of the parts. */
export const partKeys: Readonly<Record<keyof QTensorParts, string>> = { codes: '_data', scale: '_scale', shift: '_shift' };

/** @internal The left operand of an integer product. */
export interface IntegerInput {
  /** int8 codes, or floats, which the product quantizes. */
  readonly values: Tensor;
  /** Of codes: one, or one for each token. Of floats: one, or null for each token's max|x| / 127. */
  readonly scale: Tensor | null;
}

/**
 * A tensor of low-precision codes with a scale: value = scale * code. `dtype` is the scale's, and `data()` gives the values.
 * Ops on it follow the table in rules.ts; without a row there they run on the dequantized values.
 */
export abstract class QTensor extends Tensor {
  override role: TensorRole = null;
  /** @internal The module that made this activation, for calibration. */
  producer: Producer | null = null;

  constructor(
    readonly qtype: QType,
    readonly axis: QAxis,
    /** @internal As stored: the codes may be packed. */
    public stored: Readonly<QTensorParts>,
  ) {
    super(null);
  }

  /** The same kind of tensor from other parts. */
  protected abstract rebuild(parts: QTensorParts, axis: QAxis): this;

  /** The parts are mapped one by one into a tensor of the same kind; the module that made them stays known. */
  mapParts(map: (part: Tensor, name: keyof QTensorParts) => Tensor, axis: QAxis = this.axis): this {
    const { codes, scale, shift } = this.stored;
    const parts = { codes: map(codes, 'codes'), scale: map(scale, 'scale') };
    const mapped = this.rebuild(shift ? { ...parts, shift: map(shift, 'shift') } : parts, axis);
    mapped.producer = this.producer;
    return mapped;
  }

  /** The codes in row-major layout; unpacked here if they are stored packed. */
  abstract get codes(): Tensor;

  /** @internal Whether the codes have a form that a GEMM streams. */
  abstract get packsForGemm(): boolean;

  /** @internal Codes as files have them, packed for the device's GEMM. */
  abstract packCodes(codes: Tensor): Tensor;

  /** @internal A float input times this weight [out, in], or null where there is no kernel for it. */
  abstract product(src: Tensor, bias: Tensor | undefined): Tensor | null;

  /** @internal The same of int8 codes. */
  abstract integerProduct(input: IntegerInput, bias: Tensor | undefined): Tensor | null;

  /** @internal The codes packed for the device's GEMM, or null where they have no such form. */
  gemmCodes(): Tensor | null {
    const { codes } = this.stored;
    if (codes.isPacked) return codes.share();
    return this.packsForGemm ? this.packCodes(this.savedCodes) : null;
  }

  /** @internal The codes as files have them: never packed for a GEMM. */
  get savedCodes(): Tensor {
    return this.codes;
  }

  get scale(): Tensor {
    return this.stored.scale;
  }

  override get isQuantized(): true {
    return true;
  }

  override get shape(): readonly number[] {
    return this.stored.codes.shape;
  }

  override get dtype(): DType {
    return this.stored.scale.dtype;
  }

  override get device(): Device {
    return this.stored.codes.device;
  }

  override get isDisposed(): boolean {
    return this.stored.codes.isDisposed;
  }

  /** What reaches a native op without a rule: the values, counted as a fallback. */
  override get native(): NativeTensor {
    countFallback('native');
    return this.values().native;
  }

  override parts(): readonly Tensor[] {
    return partsOf(this.stored);
  }

  override get isPacked(): boolean {
    return this.stored.codes.isPacked;
  }

  override share(): this {
    return this.mapParts((part) => part.share());
  }

  override copy(): this {
    return this.mapParts((part) => part.copy());
  }

  /** @internal The same values in memory that another tensor has no part of. */
  withoutMemoryOf(other: QTensor): this {
    const taken = new Set(other.parts().map((part) => native.storageOf(part.native)));
    return this.mapParts((part) => (taken.has(native.storageOf(part.native)) ? part.copy() : part.share()));
  }

  /** Scales and float shifts have a dtype to change; codes move to devices, in the packed form of the new one where they were packed. */
  override converted(target: Device | DType): this {
    if (isDType(target)) {
      const follows = (part: Tensor, name: keyof QTensorParts) => name !== 'codes' && isReal(part.dtype);
      return this.mapParts((part, name) => (follows(part, name) ? part.converted(target) : part.share()));
    }
    if (deviceCode(target) === deviceCode(this.device)) return this.share();
    const packed = this.stored.codes.isPacked;
    return this.mapParts((part, name) => {
      const moved = (name === 'codes' ? this.savedCodes : part).converted(target);
      return packed && name === 'codes' ? this.packCodes(moved) : moved;
    });
  }

  override replaceBy(other: Tensor): void {
    if (!(other instanceof QTensor) || other.qtype !== this.qtype) {
      throw new QuantoError('NOT_SUPPORTED', `[QTensor] expected a ${this.qtype.name} tensor to take its place; quantize the values first`);
    }
    const before = this.stored;
    this.stored = other.share().stored;
    for (const part of this.parts()) keep(part);
    for (const part of partsOf(before)) part.dispose();
  }

  override toString(): string {
    const text = super.toString();
    if (this.isDisposed) return text;
    return `${text.slice(0, -1)}, qtype=${this.qtype.name}${this.axis === null ? '' : `, axis=${this.axis}`})`;
  }

  override dispose(): void {
    for (const part of this.parts()) part.dispose();
  }

  /** @internal scale * codes, without recording. */
  values(): Tensor {
    const { codes } = this;
    const values = Tensor.fromNative(native.dequantize(codes.native, this.scale.native));
    if (codes !== this.stored.codes) codes.dispose();
    return values;
  }

  /** The values as a float tensor; the gradient passes straight through. */
  override dequantize(): Tensor {
    return apply(dequantizeOp, [this], undefined);
  }

  override async data(): Promise<TypedArray> {
    using values = this.values();
    return await values.data();
  }

  override dataSync(): TypedArray {
    using values = this.values();
    return values.dataSync();
  }

  override async bytes(): Promise<Uint8Array> {
    using values = this.values();
    return await values.bytes();
  }

  override bytesSync(): Uint8Array {
    using values = this.values();
    return values.bytesSync();
  }
}

/** @internal */
export const dequantizeOp: Op = {
  name: 'dequantize',
  forward: ([src]) => (src instanceof QTensor ? src.values() : src.share()),
  vjp: (dy) => [() => dy],
};

/** 8-bit codes, integer or float8, with a scale. */
export class QBytesTensor extends QTensor {
  protected override rebuild(parts: QTensorParts, axis: QAxis): this {
    return new QBytesTensor(this.qtype, axis, parts) as this;
  }

  override get codes(): Tensor {
    const { codes } = this.stored;
    if (!codes.isPacked) return codes;
    const { isFloatingPoint, bits } = this.qtype;
    return Tensor.fromNative(
      isFloatingPoint ? native.unpackWeightBits(codes.native, bits, codes.shape[1]) : native.unpackWeight(codes.native),
    );
  }

  override get packsForGemm(): boolean {
    const ranks = this.qtype.isFloatingPoint ? [2] : [2, 4];
    return ranks.includes(this.ndim) && this.axis !== -1;
  }

  override packCodes(codes: Tensor): Tensor {
    if (!this.qtype.isFloatingPoint) return Tensor.fromNative(native.packWeight(raw.contiguous(codes).native));
    const [rows, columns] = codes.shape;
    return Tensor.fromNative(native.packWeightBits(codes.native, rows, columns, this.qtype.bits, columns));
  }

  override product(src: Tensor, bias: Tensor | undefined): Tensor | null {
    // Float sums depend on the order of the codes, so row-major ones are packed here: freezing a layer changes no bit of its output.
    using codes = this.gemmCodes();
    if (!codes) return null;
    const [biasHandle, precision] = [bias?.native ?? null, matmulPrecisionNumber()];
    if (!this.qtype.isFloatingPoint) {
      return Tensor.fromNative(native.linearWeightOnly(src.native, codes.native, this.scale.native, biasHandle, precision));
    }
    if (!codes.isPacked) return null;
    const { bits } = this.qtype;
    return Tensor.fromNative(
      native.linearBits(src.native, codes.native, this.scale.native, null, biasHandle, bits, codes.shape[1], precision),
    );
  }

  override integerProduct(input: IntegerInput, bias: Tensor | undefined): Tensor | null {
    if (this.qtype.isFloatingPoint || this.axis === -1) return null;
    const { codes, scale } = this.stored;
    const [src, srcScale] = [input.values.native, input.scale?.native ?? null];
    return Tensor.fromNative(native.linearInt8(src, srcScale, codes.native, scale.native, bias?.native ?? null, null, 0));
  }
}
