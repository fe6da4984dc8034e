// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes, so a comes in as a + 128, and 128 * (column sum of the weights) is taken off.
#include <immintrin.h>

#include "int8_digits.h"
#include "int8_scale_512.h"
#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

// 14 x 2 sums, 2 vectors of weights and 1 of a: 31 of the 32 registers.
constexpr int kRows = 14, kPanels = 2;
constexpr int64_t kDigitRows = 64, kDigitSize = 384;  // measured

template <int rows, int panels>
void tileOf(const Int8Tile& tile) {
  // Few rows leave each sum waiting for itself: split the groups among several.
  constexpr int kSplit = rows <= 2 ? 4 : rows <= 4 ? 2 : 1;
  __m512i sums[kSplit][rows][panels];
  const int8_t* weights[panels];
  for (int p = 0; p < panels; ++p) {
    const int8_t* panel = tile.panels + p * tile.panelStride;
    weights[p] = panel + kPanelHeaderBytes;
    const __m512i shift = _mm512_slli_epi32(_mm512_loadu_si512(panel), 7);
    for (int i = 0; i < rows; ++i) sums[0][i][p] = _mm512_sub_epi32(_mm512_setzero_si512(), shift);
  }
  for (int s = 1; s < kSplit; ++s) {
    for (auto& row : sums[s]) {
      for (auto& sum : row) sum = _mm512_setzero_si512();
    }
  }
  // Each pointer serves three rows, at 0, 1 and 2 strides: the addresses of 14 rows fit in the general registers.
  const int64_t stride = tile.aStride;
  const char* a[(rows + 2) / 3];
  for (int i = 0; i < (rows + 2) / 3; ++i) a[i] = tile.a + 3 * i * stride;
  const auto step = [&](int64_t group, int s) __attribute__((always_inline)) {
    __m512i b[panels];
#pragma GCC unroll 2
    for (int p = 0; p < panels; ++p) b[p] = _mm512_loadu_si512(weights[p] + group * kGroupBytes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      int32_t four;
      __builtin_memcpy(&four, a[i / 3] + i % 3 * stride + group * kGroup, kGroup);
      const __m512i values = _mm512_set1_epi32(four);
#pragma GCC unroll 2
      for (int p = 0; p < panels; ++p) sums[s][i][p] = _mm512_dpbusd_epi32(sums[s][i][p], values, b[p]);
    }
  };
  const auto advance = [&](int64_t groups) __attribute__((always_inline)) {
#pragma GCC unroll 5
    for (auto& pointer : a) pointer += groups * kGroup;
#pragma GCC unroll 2
    for (auto& pointer : weights) pointer += groups * kGroupBytes;
  };
  // As many groups at a time as there are splits, and enough for few advances.
  constexpr int kStep = 4;
  int64_t left = tile.groups;
  for (; left >= kStep; left -= kStep) {
#pragma GCC unroll 4
    for (int u = 0; u < kStep; ++u) step(u, u % kSplit);
    advance(kStep);
  }
  for (; left > 0; --left) {
    step(0, 0);
    advance(1);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < panels; ++p) {
      __m512i sum = sums[0][i][p];
#pragma GCC unroll 4
      for (int s = 1; s < kSplit; ++s) sum = _mm512_add_epi32(sum, sums[s][i][p]);
      _mm512_storeu_si512(tile.c + i * tile.cStride + p * kPanelColumns, sum);
    }
  }
}

template <int panels>
constexpr void (*kTiles[kRows])(const Int8Tile&) = {tileOf<1, panels>,  tileOf<2, panels>,  tileOf<3, panels>,  tileOf<4, panels>,
                                                    tileOf<5, panels>,  tileOf<6, panels>,  tileOf<7, panels>,  tileOf<8, panels>,
                                                    tileOf<9, panels>,  tileOf<10, panels>, tileOf<11, panels>, tileOf<12, panels>,
                                                    tileOf<13, panels>, tileOf<14, panels>};

void runTile(int rows, int panels, const Int8Tile& tile) { (panels == 1 ? kTiles<1> : kTiles<2>)[rows - 1](tile); }

}  // namespace

const Int8Kernel kInt8Vnni = {
    .name = "vnni",
    .rows = kRows,
    .panels = kPanels,
    .rowsRead = 1,
    .elementBytes = 1,
    .groupBlock = 0,
    .packRow = packRow<uint8_t, 128>,
    .begin = nullptr,
    .tile = runTile,
    .end = nullptr,
    .scale = scaleTile512,
    .digits = &kDigitLoops<128>,
    .digitRows = kDigitRows,
    .digitSize = kDigitSize,
};

}  // namespace quanto::cpu
