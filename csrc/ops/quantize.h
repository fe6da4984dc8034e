#pragma once

#include "common.h"

namespace quanto::ops {

// Codes (int8, uint8 or float8) of a floating-point tensor: src / scale in src's dtype, rounded half to even and clamped. The scale has
// src's dtype and broadcasts to its shape. Source: optimum-quanto's quantize_symmetric.
Tensor quantize(const Tensor& src, const Tensor& scale, DType dtype);
// scale * codes in the scale's dtype.
Tensor dequantize(const Tensor& codes, const Tensor& scale);
// max |src| / qmax in src's dtype, over all dims but those of `axes`, which keep their size (the others become 1); no axes give a 0-d
// scale.
Tensor absmaxScale(const Tensor& src, const Shape& axes, double qmax);

}  // namespace quanto::ops
