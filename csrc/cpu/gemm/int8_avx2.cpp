// AVX2: 16-bit vpmaddwd. The 8-bit vpmaddubsw would saturate, and the sums must be exact.
#include <immintrin.h>

#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

// 6 x 2 sums of 4 columns, 2 vectors of weights, 1 of a and 1 product: all 16 registers.
constexpr int kRows = 6;
constexpr int kColumns = 8;  // of a step: half a panel
// Bytes of the panel, and of the next one, that are fetched before they are wanted.
constexpr int64_t kAhead = 1024;

template <int rows>
void tileOf(const Int8Tile& tile, int column) {
  // A register holds 4 columns, and for each two sums: of the even and of the odd pairs along K.
  __m256i sums[rows][2];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm256_setzero_si256();
  }
  const int8_t* b = tile.panels + kPanelHeaderBytes + column * kGroup;
  for (int64_t group = 0; group < tile.groups; ++group, b += kGroupBytes) {
    __builtin_prefetch(b + kAhead);
    const __m128i* codes = reinterpret_cast<const __m128i*>(b);
    const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes)), b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes + 1));
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      long long four;
      __builtin_memcpy(&four, tile.a + i * tile.aStride + group * kGroup * 2, kGroup * 2);
      const __m256i values = _mm256_set1_epi64x(four);
      sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(values, b0));
      sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(values, b1));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    // Adding neighbours leaves the columns in the order 0 1 4 5 2 3 6 7.
    const __m256i pairs = _mm256_hadd_epi32(sums[i][0], sums[i][1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile.c + i * tile.cStride + column), _mm256_permute4x64_epi64(pairs, 0xd8));
  }
}

void runTile(int rows, int, const Int8Tile& tile) {
  constexpr void (*kTiles[kRows])(const Int8Tile&, int) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
  for (int column = 0; column < kPanelColumns; column += kColumns) kTiles[rows - 1](tile, column);
}

}  // namespace

const Int8Kernel kInt8Avx2 = {
    .name = "avx2",
    .rows = kRows,
    .panels = 1,
    .rowsRead = 1,
    .elementBytes = 2,
    .groupBlock = 0,
    .packRow = packRow<int16_t, 0>,
    .begin = nullptr,
    .tile = runTile,
    .end = nullptr,
    .scale = scaleTile,
    .digits = nullptr,
    .digitRows = 0,
    .digitSize = 0,
};

}  // namespace quanto::cpu
