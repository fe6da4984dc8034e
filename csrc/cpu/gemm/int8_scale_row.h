// The scaling step of the int8 GEMM, compiled anew in every instruction set's file; hence static.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

static void scaleRow(int64_t columns, const int32_t* sums, float rowScale, const float* columnScale, const float* bias, float* out) {
  if (bias) {
    for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<float>(sums[j]) * (rowScale * columnScale[j]) + bias[j];
  } else {
    for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<float>(sums[j]) * (rowScale * columnScale[j]);
  }
}

}  // namespace quanto::cpu
