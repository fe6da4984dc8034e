// The loops of BitsTiles in portable C++: what the vector loops of weight_bits_amx.cpp are tested against, and what emulated tiles run
// with.
#pragma once

#include "../vectorize.h"
#include "amx_tiles.h"
#include "kernels.h"
#include "weight_bits.h"

namespace quanto::cpu {

// Sums in tiles 0 to 3, a in 4 and 5, weights in 6 and 7, as in int8_amx_body.h.
template <bool bothRows, bool bothPanels>
static void tileOfTerms(const Bfloat16Tile& tile) {
  constexpr int64_t kRows = 16, kRowBytes = 64, kPanelStep = kRows * kRowBytes;
  QUANTO_TILE_ZERO(0);
  QUANTO_TILE_ZERO(1);
  QUANTO_TILE_ZERO(2);
  QUANTO_TILE_ZERO(3);
  const char *a = tile.a, *panel = tile.panels;
  for (int64_t step = 0; step < tile.steps; ++step, a += kRowBytes, panel += kPanelStep) {
    QUANTO_TILE_LOAD(6, panel, kRowBytes);
    if constexpr (bothPanels) QUANTO_TILE_LOAD(7, panel + tile.panelStride, kRowBytes);
    // The smallest terms first: less is lost to the sum.
    for (int64_t term = kTerms - 1; term >= 0; --term) {
      const char* rows = a + term * tile.termStride;
      QUANTO_TILE_LOAD(4, rows, tile.aStride);
      QUANTO_TILE_DOT_BFLOAT16(0, 4, 6);
      if constexpr (bothPanels) QUANTO_TILE_DOT_BFLOAT16(1, 4, 7);
      if constexpr (bothRows) {
        QUANTO_TILE_LOAD(5, rows + kRows * tile.aStride, tile.aStride);
        QUANTO_TILE_DOT_BFLOAT16(2, 5, 6);
        if constexpr (bothPanels) QUANTO_TILE_DOT_BFLOAT16(3, 5, 7);
      }
    }
  }
  const int64_t stride = tile.cStride * static_cast<int64_t>(sizeof(float));
  float* lower = tile.c + kRows * tile.cStride;
  QUANTO_TILE_STORE(0, tile.c, stride);
  if constexpr (bothPanels) QUANTO_TILE_STORE(1, tile.c + kBitsColumns, stride);
  if constexpr (bothRows) QUANTO_TILE_STORE(2, lower, stride);
  if constexpr (bothRows && bothPanels) QUANTO_TILE_STORE(3, lower + kBitsColumns, stride);
}

static void tileTerms(int rows, int panels, const Bfloat16Tile& tile) {
  constexpr void (*kTiles[2][2])(const Bfloat16Tile&) = {{tileOfTerms<false, false>, tileOfTerms<false, true>},
                                                         {tileOfTerms<true, false>, tileOfTerms<true, true>}};
  kTiles[rows > 16][panels > 1](tile);
}

// A value cut into three times 8 bits of its mantissa. An infinity is its own first term, and the others are 0; so is NaN, made quiet.
static void splitTerms(int64_t count, const float* in, uint16_t* out, int64_t termStride) {
  uint16_t *second = out + termStride, *third = second + termStride;
  const auto upper = [](float value) __attribute__((always_inline)) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits & 0xffff0000u;
  };
  const auto real = [](uint32_t bits) __attribute__((always_inline)) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  };
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) {
    const float value = in[i];
    const bool finite = __builtin_fabsf(value) < __builtin_inff();
    const uint32_t first = upper(value);
    const float rest = finite ? value - real(first) : 0.0f;
    const uint32_t middle = upper(rest);
    out[i] = static_cast<uint16_t>(first >> 16 | (value != value ? 0x40u : 0u));
    second[i] = static_cast<uint16_t>(middle >> 16);
    third[i] = static_cast<uint16_t>(upper(rest - real(middle)) >> 16);
  }
}

}  // namespace quanto::cpu
