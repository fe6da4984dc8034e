// The loops of int8_skinny.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "../vectorize.h"
#include "int8_skinny.h"

namespace quanto::cpu {
namespace {

// Exact in 16 bits, of which a vector register holds twice as many as of 32.
inline int32_t times(int16_t a, int8_t b) { return static_cast<int16_t>(a * b); }
// Sums wrap as those of the packed products do.
inline int32_t plus(int32_t sum, int32_t term) { return static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(term)); }

void across(int64_t n, int64_t k, const int8_t* a, int64_t aStride, const int8_t* b, int64_t bStride, int32_t* out) {
  // Several rows of b at a time, so that sums are loaded and stored less often.
  constexpr int kRows = 4;
  for (int64_t j = 0; j < n; ++j) out[j] = 0;
  int64_t l = 0;
  for (; l + kRows <= k; l += kRows) {
    const int16_t a0 = a[l * aStride], a1 = a[(l + 1) * aStride], a2 = a[(l + 2) * aStride], a3 = a[(l + 3) * aStride];
    const int8_t *b0 = b + l * bStride, *b1 = b0 + bStride, *b2 = b1 + bStride, *b3 = b2 + bStride;
    QUANTO_VECTORIZE
    for (int64_t j = 0; j < n; ++j) out[j] = plus(out[j], times(a0, b0[j]) + times(a1, b1[j]) + times(a2, b2[j]) + times(a3, b3[j]));
  }
  for (; l < k; ++l) {
    const int16_t value = a[l * aStride];
    const int8_t* row = b + l * bStride;
    QUANTO_VECTORIZE
    for (int64_t j = 0; j < n; ++j) out[j] = plus(out[j], times(value, row[j]));
  }
}

int32_t dot(int64_t k, const int8_t* a, const int8_t* b) {
  uint32_t sum = 0;
  for (int64_t l = 0; l < k; ++l) sum += static_cast<uint32_t>(a[l] * b[l]);
  return static_cast<int32_t>(sum);
}

constexpr Int8Skinny makeInt8Skinny() { return {across, dot}; }

}  // namespace
}  // namespace quanto::cpu
