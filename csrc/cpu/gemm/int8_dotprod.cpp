// The dot-product extension of aarch64: sdot multiplies signed by signed bytes, so both operands are read as they are.
#include <arm_neon.h>

#include "int8_digits.h"
#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kVectors = 4;  // of a panel, 4 columns each
// 6 x 4 sums, 4 vectors of weights and 1 of a: 29 of the 32 registers.
constexpr int kRows = 6;
// Four digits of a value are never worth it: as many steps as float32 takes. Not measured: no such machine was at hand.
constexpr int64_t kDigitRows = 0, kDigitSize = INT64_MAX;

template <int rows>
void tileOf(const Int8Tile& tile) {
  // Few rows leave each sum waiting for itself: split the groups among several.
  constexpr int kSplit = rows == 1 ? 4 : rows <= 3 ? 2 : 1;
  int32x4_t sums[kSplit][rows][kVectors];
  for (auto& part : sums) {
    for (auto& row : part) {
      for (auto& sum : row) sum = vdupq_n_s32(0);
    }
  }
  const int8_t* weights = tile.panels + kPanelHeaderBytes;
  const auto step = [&](int64_t group, int s) __attribute__((always_inline)) {
    int8x16_t b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) b[v] = vld1q_s8(weights + group * kGroupBytes + v * 16);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      int32_t four;
      __builtin_memcpy(&four, tile.a + i * tile.aStride + group * kGroup, kGroup);
      const int8x16_t values = vreinterpretq_s8_s32(vdupq_n_s32(four));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[s][i][v] = vdotq_s32(sums[s][i][v], values, b[v]);
    }
  };
  int64_t group = 0;
  for (; group + kSplit <= tile.groups; group += kSplit) {
#pragma GCC unroll 4
    for (int s = 0; s < kSplit; ++s) step(group + s, s);
  }
  for (; group < tile.groups; ++group) step(group, 0);
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      int32x4_t sum = sums[0][i][v];
#pragma GCC unroll 4
      for (int s = 1; s < kSplit; ++s) sum = vaddq_s32(sum, sums[s][i][v]);
      vst1q_s32(tile.c + i * tile.cStride + v * 4, sum);
    }
  }
}

void runTile(int rows, int, const Int8Tile& tile) {
  constexpr void (*kTiles[kRows])(const Int8Tile&) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
  kTiles[rows - 1](tile);
}

}  // namespace

const Int8Kernel kInt8Dotprod = {
    .name = "dotprod",
    .rows = kRows,
    .panels = 1,
    .rowsRead = 1,
    .elementBytes = 1,
    .groupBlock = 0,
    .packRow = packRow<int8_t, 0>,
    .begin = nullptr,
    .tile = runTile,
    .end = nullptr,
    .scale = scaleTile,
    .digits = &kDigitLoops<0>,
    .digitRows = kDigitRows,
    .digitSize = kDigitSize,
};

}  // namespace quanto::cpu
