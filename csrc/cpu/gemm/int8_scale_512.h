// The finish of a tile in AVX-512 registers, a row after the other: outputs that lie a power of two apart share a set of the first-level
// cache, which a column of them would overrun.
#pragma once

#include <immintrin.h>

#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {

template <bool hasBias>
static inline void scaleRow512(const ScaledTile& tile, int64_t row) {
  const int32_t* sums = tile.sums + row * tile.sumsStride;
  float* out = tile.out + row * tile.outStride;
  const __m512 rowScale = _mm512_set1_ps(tile.rowScale[row]);
  const auto scaled = [&](int64_t j, __mmask16 mask) __attribute__((always_inline)) {
    const __m512 scale = _mm512_mul_ps(rowScale, _mm512_maskz_loadu_ps(mask, tile.columnScale + j));
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums + j)), scale);
    _mm512_mask_storeu_ps(out + j, mask, hasBias ? _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, tile.bias + j)) : value);
  };
  int64_t j = 0;
  for (; j + kPanelColumns <= tile.columns; j += kPanelColumns) scaled(j, 0xffff);
  if (j < tile.columns) scaled(j, static_cast<__mmask16>((1 << (tile.columns - j)) - 1));
}

static inline void scaleTile512(const ScaledTile& tile) {
  for (int64_t row = 0; row < tile.rows; ++row) {
    if (tile.bias) scaleRow512<true>(tile, row);
    else scaleRow512<false>(tile, row);
  }
}

}  // namespace quanto::cpu
