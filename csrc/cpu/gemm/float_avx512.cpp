#include <immintrin.h>

#include "float_convert_avx2.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kLanes = 16;
// 14 x 2 sums, 2 vectors of b and 1 of a: 31 of the 32 registers.
constexpr int kRows = 14, kVectors = 2, kColumns = kVectors * kLanes;
constexpr int kSkinny = 32;  // measured
// Rows of a that the unpacked paths take at once.
constexpr int kFewRows = 4;

__mmask16 firstLanes(int64_t count) { return count >= kLanes ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

template <int rows>
void tileOf(const FloatTile& tile) {
  __m512 sums[rows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  // The rows of c are far apart and not used before the end: fetch them meanwhile.
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(tile.c + i * tile.cStride + v * kLanes, 1);
  }
  const float *a = tile.a, *b = tile.b;
  for (int64_t l = 0; l < tile.k; ++l, a += rows, b += kColumns) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const __m512 factor = _mm512_set1_ps(a[i]);
      sums[i][0] = _mm512_fmadd_ps(factor, b0, sums[i][0]);
      sums[i][1] = _mm512_fmadd_ps(factor, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* c = tile.c + i * tile.cStride + v * kLanes;
      __m512 value = sums[i][v];
      if (tile.accumulate) value = _mm512_add_ps(_mm512_loadu_ps(c), value);
      if (tile.scale) value = _mm512_mul_ps(value, _mm512_loadu_ps(tile.scale + v * kLanes));
      if (tile.bias) value = _mm512_add_ps(value, _mm512_loadu_ps(tile.bias + v * kLanes));
      _mm512_storeu_ps(c, value);
    }
  }
}

void runTile(int rows, const FloatTile& tile) {
  constexpr void (*kTiles[kRows])(const FloatTile&) = {tileOf<1>, tileOf<2>, tileOf<3>,  tileOf<4>,  tileOf<5>,  tileOf<6>,  tileOf<7>,
                                                       tileOf<8>, tileOf<9>, tileOf<10>, tileOf<11>, tileOf<12>, tileOf<13>, tileOf<14>};
  kTiles[rows - 1](tile);
}

// Both operands of dot and stream, with their strides.
struct Operands {
  int64_t k;
  const float* a;
  int64_t aStride;
  const float* b;
  int64_t bStride;
  float* c;
  int64_t cStride;
};

// The sums of the lanes of each of 8 vectors, in their order.
__m256 sumLanes(const __m512* v) {
  const auto pair = [](__m512 x, __m512 y) __attribute__((always_inline)) {
    return _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
  };
  // Every 128 bits: the sums of that part of four vectors.
  const auto four = [&](const __m512* of) __attribute__((always_inline)) {
    const __m512d first = _mm512_castps_pd(pair(of[0], of[1])), second = _mm512_castps_pd(pair(of[2], of[3]));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(first, second)), _mm512_castpd_ps(_mm512_unpackhi_pd(first, second)));
  };
  const __m512 low = four(v), high = four(v + 4);
  const __m512 halves = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
  return _mm512_castps512_ps256(_mm512_add_ps(_mm512_shuffle_f32x4(halves, halves, 0x08), _mm512_shuffle_f32x4(halves, halves, 0x0d)));
}

template <int rows, int columns>
void dotBlock(const Operands& at, bool accumulate) {
  __m512 sums[rows][columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  const auto step = [&](int64_t l, __mmask16 lanes) __attribute__((always_inline)) {
    __m512 a[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) a[i] = _mm512_maskz_loadu_ps(lanes, at.a + i * at.aStride + l);
#pragma GCC unroll 8
    for (int j = 0; j < columns; ++j) {
      __m512 b = _mm512_maskz_loadu_ps(lanes, at.b + j * at.bStride + l);
      // Loaded once: the compiler would make it an operand of each product.
      __asm__("" : "+v"(b));
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sums[i][j] = _mm512_fmadd_ps(a[i], b, sums[i][j]);
    }
  };
  int64_t l = 0;
  for (; l + kLanes <= at.k; l += kLanes) step(l, 0xffff);
  if (l < at.k) step(l, firstLanes(at.k - l));
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    float* c = at.c + i * at.cStride;
    if constexpr (columns == 8) {
      // A copy, so that the sums above stay in registers.
      __m512 finished[columns];
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j) finished[j] = sums[i][j];
      const __m256 all = sumLanes(finished);
      _mm256_storeu_ps(c, accumulate ? _mm256_add_ps(_mm256_loadu_ps(c), all) : all);
    } else {
      for (int j = 0; j < columns; ++j) {
        const float sum = _mm512_reduce_add_ps(sums[i][j]);
        c[j] = accumulate ? c[j] + sum : sum;
      }
    }
  }
}

// 3 x 8 sums: the columns stay in the first-level cache while the rows pass, three loads of them for 24 products.
template <int columns>
void dotRows(int64_t m, Operands at, bool accumulate) {
  constexpr int64_t kRowsTogether = 3;
  for (int64_t i = 0; i < m; i += kRowsTogether, at.a += kRowsTogether * at.aStride, at.c += kRowsTogether * at.cStride) {
    switch (m - i) {
      case 1:
        dotBlock<1, columns>(at, accumulate);
        break;
      case 2:
        dotBlock<2, columns>(at, accumulate);
        break;
      default:
        dotBlock<3, columns>(at, accumulate);
    }
  }
}

void dot(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
         bool accumulate) {
  int64_t j = 0;
  const auto at = [&] { return Operands{k, a, aStride, b + j * bStride, bStride, c + j, cStride}; };
  for (; j + 8 <= n; j += 8) dotRows<8>(m, at(), accumulate);
  for (; j + 4 <= n; j += 4) dotRows<4>(m, at(), accumulate);
  for (; j < n; ++j) dotRows<1>(m, at(), accumulate);
}

template <int rows, int vectors>
void streamBlock(const Operands& at, __mmask16 lanes) {
  __m512 sums[rows][vectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  const float* b = at.b;
  for (int64_t l = 0; l < at.k; ++l, b += at.bStride) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      const __m512 values = _mm512_maskz_loadu_ps(lanes, b + v * kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) sums[i][v] = _mm512_fmadd_ps(_mm512_set1_ps(at.a[i * at.aStride + l]), values, sums[i][v]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) _mm512_mask_storeu_ps(at.c + i * at.cStride + v * kLanes, lanes, sums[i][v]);
  }
}

// `wide` vectors at a time, then one, whose last lanes may be missing.
template <int rows, int wide>
void streamRows(int64_t n, Operands at) {
  int64_t j = 0;
  for (; j + wide * kLanes <= n; j += wide * kLanes, at.b += wide * kLanes, at.c += wide * kLanes) streamBlock<rows, wide>(at, 0xffff);
  for (; j < n; j += kLanes, at.b += kLanes, at.c += kLanes) streamBlock<rows, 1>(at, firstLanes(n - j));
}

void stream(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows) {
    const Operands at{k, a + i * aStride, aStride, b, bStride, c + i * cStride, cStride};
    switch (m - i) {
      case 1:
        streamRows<1, 16>(n, at);
        break;
      case 2:
        streamRows<2, 8>(n, at);
        break;
      case 3:
        streamRows<3, 4>(n, at);
        break;
      default:
        streamRows<4, 4>(n, at);
    }
  }
}

template <int rows>
void streamInt8Rows(int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  // One sum for each position in a group: they do not wait for each other.
  __m512 sums[rows][kGroup];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  const auto step = [&](int64_t l, int count) __attribute__((always_inline)) {
    const __m512i group = _mm512_loadu_si512(codes + l * kPanelColumns);
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) {
      const __m512 weight = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(group, 24 - 8 * p), 24));
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) sums[i][p] = _mm512_fmadd_ps(_mm512_set1_ps(a[i * aStride + l + p]), weight, sums[i][p]);
    }
  };
  int64_t l = 0;
  for (; l + kGroup <= k; l += kGroup) step(l, kGroup);
  switch (k - l) {
    case 1:
      step(l, 1);
      break;
    case 2:
      step(l, 2);
      break;
    case 3:
      step(l, 3);
      break;
    default:
      break;
  }
  for (int i = 0; i < rows; ++i) {
    _mm512_storeu_ps(c + i * cStride, _mm512_add_ps(_mm512_add_ps(sums[i][0], sums[i][1]), _mm512_add_ps(sums[i][2], sums[i][3])));
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows, a += kFewRows * aStride, c += kFewRows * cStride) {
    switch (m - i) {
      case 1:
        streamInt8Rows<1>(k, a, aStride, codes, c, cStride);
        break;
      case 2:
        streamInt8Rows<2>(k, a, aStride, codes, c, cStride);
        break;
      case 3:
        streamInt8Rows<3>(k, a, aStride, codes, c, cStride);
        break;
      default:
        streamInt8Rows<4>(k, a, aStride, codes, c, cStride);
    }
  }
}

}  // namespace

const FloatKernel kFloatAvx512 = {
    .name = "avx512",
    .rows = kRows,
    .columns = kColumns,
    .skinny = kSkinny,
    .dotsAll = true,
    .tile = runTile,
    .dot = dot,
    .stream = stream,
    .streamInt8 = streamInt8,
    .widenInt8 = widenInt8Avx2,
    .transpose = transposeAvx2,
    .widenFloat16 = widenFloat16Avx2,
    .narrowFloat16 = narrowFloat16Avx2,
};

}  // namespace quanto::cpu
