// AVX-VNNI: the 256-bit vpdpbusd, used as in int8_vnni.cpp.
#include <immintrin.h>

#include "int8_digits.h"
#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kLanes = 8;
// 6 x 2 sums, 2 vectors of weights and 1 of a: 15 of the 16 registers.
constexpr int kRows = 6, kHalves = kPanelColumns / kLanes;
constexpr int64_t kDigitRows = 1, kDigitSize = 1024;  // measured

const __m256i* vectorAt(const int8_t* codes) { return reinterpret_cast<const __m256i*>(codes); }

template <int rows>
void tileOf(const Int8Tile& tile) {
  __m256i sums[rows][kHalves];
  for (int h = 0; h < kHalves; ++h) {
    const __m256i shift = _mm256_slli_epi32(_mm256_loadu_si256(vectorAt(tile.panels) + h), 7);
    for (int i = 0; i < rows; ++i) sums[i][h] = _mm256_sub_epi32(_mm256_setzero_si256(), shift);
  }
  const int8_t* b = tile.panels + kPanelHeaderBytes;
  for (int64_t group = 0; group < tile.groups; ++group, b += kGroupBytes) {
    const __m256i b0 = _mm256_loadu_si256(vectorAt(b)), b1 = _mm256_loadu_si256(vectorAt(b) + 1);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      int32_t four;
      __builtin_memcpy(&four, tile.a + i * tile.aStride + group * kGroup, kGroup);
      const __m256i values = _mm256_set1_epi32(four);
      sums[i][0] = _mm256_dpbusd_avx_epi32(sums[i][0], values, b0);
      sums[i][1] = _mm256_dpbusd_avx_epi32(sums[i][1], values, b1);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile.c + i * tile.cStride) + h, sums[i][h]);
  }
}

void runTile(int rows, int, const Int8Tile& tile) {
  constexpr void (*kTiles[kRows])(const Int8Tile&) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
  kTiles[rows - 1](tile);
}

}  // namespace

const Int8Kernel kInt8Avxvnni = {
    .name = "avxvnni",
    .rows = kRows,
    .panels = 1,
    .rowsRead = 1,
    .elementBytes = 1,
    .groupBlock = 0,
    .packRow = packRow<uint8_t, 128>,
    .begin = nullptr,
    .tile = runTile,
    .end = nullptr,
    .scale = scaleTile,
    .digits = &kDigitLoops<128>,
    .digitRows = kDigitRows,
    .digitSize = kDigitSize,
};

}  // namespace quanto::cpu
