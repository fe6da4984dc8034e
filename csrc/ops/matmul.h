#pragma once

#include "common.h"

namespace quanto::ops {

// a [..., M, K] x b [..., K, N], batch dims broadcast; 1-D operands as in PyTorch.
Tensor matmul(const Tensor& a, const Tensor& b);
// The same for int8 -> int32, exact.
Tensor intMatmul(const Tensor& a, const Tensor& b);
// The sums as float32 times a float32 number, rounded to a real dtype: to the bits of the ops one by one.
Tensor intMatmulScaled(const Tensor& a, const Tensor& b, const Tensor& scale, DType dtype);
// src [..., K] x weight [N, K]^T + bias [N]
Tensor linear(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias);
// The same with an int8 weight (strided or packed) and its scale ([], [1] or [N, 1]): float src, taken as exactly as `precision`
// (Precision) asks for ...
Tensor linearWeightOnly(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias, int64_t precision);
// ... or integers on both sides: int8 src with its own scale ([] or one for each row of src), or real src, which is quantized with one
// scale of its dtype, or with a scale for each row (max / 127) where none is given. `activation` is Activation. The result has the dtype of
// the weight's scale, or is int8 codes where outScale, one number of that dtype, is given. The bits are those of the separate ops.
Tensor linearInt8(const Tensor& src, const std::optional<Tensor>& srcScale, const Tensor& weight, const Tensor& scale,
                  const std::optional<Tensor>& bias, const std::optional<Tensor>& outScale, int64_t activation);
// int8 [N, K] to the form that the device's GEMM streams, and back.
Tensor packWeight(const Tensor& src);
Tensor unpackWeight(const Tensor& src);
// Float src x a weight of 2 or 4 bits or float8 that packWeightBits packed, in groups of groupSize values along K. Scale and shift, a real
// one or none, have one number for each group in the order [N, K / groupSize], or the scale one for all.
Tensor linearBits(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& shift,
                  const std::optional<Tensor>& bias, int64_t bits, int64_t groupSize, int64_t precision);
// int8 src with its own scale, or real src, which is quantized, as linearInt8 has it, x a weight of 2 or 4 bits.
Tensor linearBitsInt8(const Tensor& src, const std::optional<Tensor>& srcScale, const Tensor& weight, const Tensor& scale,
                      const Tensor& shift, const std::optional<Tensor>& bias, int64_t bits, int64_t groupSize);
// Codes of a weight [rows, columns] as files hold them, float8 in rows or the rows of all groups packed by packBits, to the form that
// linearBits streams, and back. A device without linearBits keeps them as they are.
Tensor packWeightBits(const Tensor& src, int64_t rows, int64_t columns, int64_t bits, int64_t groupSize);
Tensor unpackWeightBits(const Tensor& src, int64_t bits, int64_t groupSize);

}  // namespace quanto::ops
