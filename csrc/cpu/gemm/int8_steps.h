// What every int8 kernel does before and after its tiles, compiled anew in every instruction set's file; hence static.
#pragma once

#include <stdint.h>

#include "kernels.h"

namespace quanto::cpu {

// Each code + shift. Unsigned x signed instructions read a + 128.
template <class Element, int shift>
static void packRow(int64_t count, const int8_t* in, void* out) {
  Element* packed = static_cast<Element*>(out);
  for (int64_t i = 0; i < count; ++i) packed[i] = static_cast<Element>(in[i] + shift);
}

static inline void scaleTile(const ScaledTile& tile) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int32_t* __restrict sums = tile.sums + i * tile.sumsStride;
    float* __restrict out = tile.out + i * tile.outStride;
    const float rowScale = tile.rowScale[i];
    if (tile.bias) {
      for (int64_t j = 0; j < tile.columns; ++j) out[j] = static_cast<float>(sums[j]) * (rowScale * tile.columnScale[j]) + tile.bias[j];
    } else {
      for (int64_t j = 0; j < tile.columns; ++j) out[j] = static_cast<float>(sums[j]) * (rowScale * tile.columnScale[j]);
    }
  }
}

}  // namespace quanto::cpu
