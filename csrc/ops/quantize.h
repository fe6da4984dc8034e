#pragma once

#include "common.h"

namespace quanto::ops {

// Codes (int8, uint8 or float8) of a floating-point tensor: src / scale in src's dtype, rounded half to even and clamped. The scale has
// src's dtype and broadcasts to its shape. Source: optimum-quanto's quantize_symmetric.
Tensor quantize(const Tensor& src, const Tensor& scale, DType dtype);
// scale * codes in the scale's dtype.
Tensor dequantize(const Tensor& codes, const Tensor& scale);
// Unsigned codes of 2 or 4 bits, one a byte. A real shift is added before the division, an integer one (uint8, int8) is the code of zero.
// Source: optimum-quanto's quantize_affine.
Tensor quantizeAffine(const Tensor& src, const Tensor& scale, const Tensor& shift, int64_t bits);
// scale * codes - shift, or scale * (codes - shift) with an integer shift.
Tensor dequantizeAffine(const Tensor& codes, const Tensor& scale, const Tensor& shift);
// Rows of codes by halves or quarters in one row of bytes: [rows, ..] to [ceil(rows * bits / 8), ..]. Source: optimum-quanto's
// PackedTensor.
Tensor packBits(const Tensor& codes, int64_t bits);
Tensor unpackBits(const Tensor& packed, int64_t rows, int64_t bits);
// max |src| / qmax in src's dtype, over all dims but those of `axes`, which keep their size (the others become 1); no axes give a 0-d
// scale.
Tensor absmaxScale(const Tensor& src, const Shape& axes, double qmax);

}  // namespace quanto::ops
