import { native, type NativeTensor } from '../native';
import * as raw from '../ops/raw';
import { isReal } from '../tensor/dtype';
import { matmulPrecisionNumber } from '../tensor/matmul-precision';
import { Tensor } from '../tensor/tensor';

import { group, type GroupAxis, groupedShape, ungroup } from './grouping';
import { type IntegerInput, QTensor, type QTensorParts } from './qtensor';
import type { QType } from './qtype';

/** How the values of a QBitsTensor are cut into groups. */
export interface BitsLayout {
  readonly axis: GroupAxis;
  /** null: one group for each index along the axis. */
  readonly groupSize: number | null;
  /** Of the values. */
  readonly shape: readonly number[];
}

/**
 * Codes of less than 8 bits in groups: value = scale * code - shift, or scale * (code - shift) where the shift is an integer, the code of
 * zero. Codes are unsigned, and several of them share a byte.
 */
export class QBitsTensor extends QTensor {
  constructor(
    qtype: QType,
    readonly layout: BitsLayout,
    /** Codes as `packBits` packs them, scale and shift in the shape that broadcasts to the groups. */
    stored: Readonly<Required<QTensorParts>>,
  ) {
    super(qtype, layout.axis, stored);
  }

  get groupSize(): number | null {
    return this.layout.groupSize;
  }

  /** uint8 codes in groups, one a byte: [groups, groupSize], or the shape of the values where there are no groups. */
  override get codes(): Tensor {
    const { axis, groupSize, shape } = this.layout;
    const rows = groupedShape(shape, axis, groupSize)[0];
    using packed = this.savedCodes;
    return Tensor.fromNative(native.unpackBits(packed.native, rows, this.qtype.bits));
  }

  /** The bytes that files hold: rows of codes by halves or quarters (Quanto's PackedTensor). */
  override get savedCodes(): Tensor {
    const { codes } = this.stored;
    if (!codes.isPacked) return codes.share();
    return Tensor.fromNative(native.unpackWeightBits(codes.native, this.qtype.bits, this.gemmGroupSize));
  }

  /** Of two dims along the first axis; the scales of the original's weights of one channel are in no groups. */
  override get packsForGemm(): boolean {
    const { shape, axis } = this.layout;
    return axis === 0 && shape.length === 2 && this.scale.numel === shape[0] * (shape[1] / this.gemmGroupSize);
  }

  private get gemmGroupSize(): number {
    return this.groupSize ?? this.layout.shape[1];
  }

  override packCodes(codes: Tensor): Tensor {
    const [rows, columns] = this.layout.shape;
    return Tensor.fromNative(native.packWeightBits(codes.native, rows, columns, this.qtype.bits, this.gemmGroupSize));
  }

  override product(src: Tensor, bias: Tensor | undefined): Tensor | null {
    return this.withPacked((codes, shift) => {
      const { scale, qtype, gemmGroupSize } = this;
      const summand = bias?.native ?? null;
      return native.linearBits(src.native, codes, scale.native, shift, summand, qtype.bits, gemmGroupSize, matmulPrecisionNumber());
    });
  }

  override integerProduct({ values, scale }: IntegerInput, bias: Tensor | undefined): Tensor | null {
    const [src, srcScale, summand] = [values.native, scale?.native ?? null, bias?.native ?? null];
    return this.withPacked((codes, shift) =>
      native.linearBitsInt8(src, srcScale, codes, this.scale.native, shift, summand, this.qtype.bits, this.gemmGroupSize),
    );
  }

  /** A native product with the packed codes and real shifts; null where they have no such form. */
  private withPacked(run: (codes: NativeTensor, shift: NativeTensor) => NativeTensor): Tensor | null {
    using codes = this.gemmCodes();
    return codes && codes.isPacked ? Tensor.fromNative(run(codes.native, realShift(this).native)) : null;
  }

  get shift(): Tensor {
    return this.stored.shift as Tensor;
  }

  override get shape(): readonly number[] {
    return this.layout.shape;
  }

  protected override rebuild(parts: QTensorParts): this {
    return new QBitsTensor(this.qtype, this.layout, parts as Required<QTensorParts>) as this;
  }

  override values(): Tensor {
    const { axis, groupSize, shape } = this.layout;
    using codes = this.codes;
    using grouped = Tensor.fromNative(native.dequantizeAffine(codes.native, this.scale.native, this.shift.native));
    return ungroup(grouped, axis, groupSize, shape);
  }
}

/** @internal Codes of values with scales and shifts that are known. */
export function quantizeBits(src: Tensor, qtype: QType, layout: BitsLayout, scale: Tensor, shift: Tensor): QBitsTensor {
  const { axis, groupSize } = layout;
  using grouped = group(src, axis, groupSize);
  using codes = Tensor.fromNative(native.quantizeAffine(grouped.native, scale.native, shift.native, qtype.bits));
  const packed = Tensor.fromNative(native.packBits(codes.native, qtype.bits));
  return new QBitsTensor(qtype, layout, { codes: packed, scale: scale.share(), shift: shift.share() });
}

/** @internal A shift that is added to values, whatever it was stored as. */
export function realShift(tensor: QBitsTensor): Tensor {
  const { shift, scale } = tensor;
  return isReal(shift.dtype) ? shift : raw.mul(raw.cast(shift, scale.dtype), scale);
}
