// The loops of BitsTiles in portable C++: what the vector loops of weight_bits_amx.cpp are tested against, and what emulated tiles run
// with.
#pragma once

#include "../vector_math.h"
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
    for (int64_t term = tile.terms - 1; term >= 0; --term) {
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

// A value cut into pieces of 8 bits of its mantissa, the last of which is rounded half to even: nothing is left to round after three. An
// infinity is its own first term, and the others are 0; so is NaN, made quiet.
template <int terms>
static void splitInto(int64_t count, const float* in, uint16_t* out, int64_t termStride) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) {
    const float value = in[i];
    const bool finite = math::abs(value) < __builtin_inff();
    float rest = value;
    for (int term = 0; term < terms; ++term) {
      const bool rounds = term + 1 == terms && terms < 3;
      const uint32_t bits = math::bitsOf(rest), half = rounds && finite ? 0x7fffu + (bits >> 16 & 1) : 0,
                     upper = (bits + half) & 0xffff0000u;
      out[term * termStride + i] = static_cast<uint16_t>(upper >> 16 | (term == 0 && value != value ? 0x40u : 0u));
      rest = finite ? rest - math::floatOf(upper) : 0.0f;
    }
  }
}

static void splitTerms(int terms, int64_t count, const float* in, uint16_t* out, int64_t termStride) {
  constexpr void (*kSplits[])(int64_t, const float*, uint16_t*, int64_t) = {splitInto<1>, splitInto<2>, splitInto<3>};
  kSplits[terms - 1](count, in, out, termStride);
}

}  // namespace quanto::cpu
