#pragma once

#include "common.h"

namespace quanto::ops {

// A row of binary.def, by its number, over operands broadcast together and promoted to one dtype.
Tensor binary(int64_t op, const Tensor& a, const Tensor& b);
inline Tensor binaryOf(BinaryOp op, const Tensor& a, const Tensor& b) { return binary(static_cast<int64_t>(op), a, b); }
// The same with a number, which takes the tensor's dtype (float32 when an integer tensor meets a fraction); `reversed` swaps the operands.
Tensor binaryScalar(int64_t op, const Tensor& src, double scalar, bool reversed);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
// dst += alpha * src in place: gradient accumulation. src is broadcast and converted.
void addInPlace(const Tensor& dst, const Tensor& src);

}  // namespace quanto::ops
