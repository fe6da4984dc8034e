// Products of int8 operands that are too small to repay packing, in loops that have a version for each instruction set. As in kernels.h: no
// C++ library header.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

struct Int8Skinny {
  // out[j] = the sum over l < k of a[l * aStride] * b[l * bStride + j], for j < n.
  void (*across)(int64_t n, int64_t k, const int8_t* a, int64_t aStride, const int8_t* b, int64_t bStride, int32_t* out);
  // The sum over l < k of a[l] * b[l].
  int32_t (*dot)(int64_t k, const int8_t* a, const int8_t* b);
};

const Int8Skinny& int8Skinny();

// One for each instruction set.
extern const Int8Skinny kInt8SkinnyRef, kInt8SkinnyAvx2, kInt8SkinnyAvx512;

}  // namespace quanto::cpu
