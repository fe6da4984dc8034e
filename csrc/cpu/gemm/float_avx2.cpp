#include <immintrin.h>

#include "float_convert_avx2.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kLanes = 8;
// 6 x 2 sums, 2 vectors of b and 1 of a: 15 of the 16 registers.
constexpr int kRows = 6, kVectors = 2, kColumns = kVectors * kLanes;
constexpr int kSkinny = 8;  // measured
// Rows of a that the unpacked paths take at once.
constexpr int kFewRows = 2;

__m256i firstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count < kLanes ? static_cast<int>(count) : kLanes),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

float sumOf(__m256 values) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

template <int rows>
void tileOf(const FloatTile& tile) {
  __m256 sums[rows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm256_setzero_ps();
  }
  // The rows of c are far apart and not used before the end: fetch them meanwhile.
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(tile.c + i * tile.cStride + v * kLanes, 1);
  }
  const float *a = tile.a, *b = tile.b;
  for (int64_t l = 0; l < tile.k; ++l, a += rows, b += kColumns) {
    const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const __m256 factor = _mm256_broadcast_ss(a + i);
      sums[i][0] = _mm256_fmadd_ps(factor, b0, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(factor, b1, sums[i][1]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      float* c = tile.c + i * tile.cStride + v * kLanes;
      __m256 value = sums[i][v];
      if (tile.accumulate) value = _mm256_add_ps(_mm256_loadu_ps(c), value);
      if (tile.scale) value = _mm256_mul_ps(value, _mm256_loadu_ps(tile.scale + v * kLanes));
      if (tile.bias) value = _mm256_add_ps(value, _mm256_loadu_ps(tile.bias + v * kLanes));
      _mm256_storeu_ps(c, value);
    }
  }
}

void runTile(int rows, const FloatTile& tile) {
  constexpr void (*kTiles[kRows])(const FloatTile&) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
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

template <int rows, int columns>
void dotBlock(const Operands& at, bool accumulate) {
  __m256 sums[rows][columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm256_setzero_ps();
  }
  int64_t l = 0;
  for (; l + kLanes <= at.k; l += kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      const __m256 b = _mm256_loadu_ps(at.b + j * at.bStride + l);
#pragma GCC unroll 2
      for (int i = 0; i < rows; ++i) sums[i][j] = _mm256_fmadd_ps(_mm256_loadu_ps(at.a + i * at.aStride + l), b, sums[i][j]);
    }
  }
  if (l < at.k) {
    const __m256i lanes = firstLanes(at.k - l);
    for (int j = 0; j < columns; ++j) {
      const __m256 b = _mm256_maskload_ps(at.b + j * at.bStride + l, lanes);
      for (int i = 0; i < rows; ++i) sums[i][j] = _mm256_fmadd_ps(_mm256_maskload_ps(at.a + i * at.aStride + l, lanes), b, sums[i][j]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      const float sum = sumOf(sums[i][j]);
      float& c = at.c[i * at.cStride + j];
      c = accumulate ? c + sum : sum;
    }
  }
}

template <int columns>
void dotRows(int64_t m, Operands at, bool accumulate) {
  for (int64_t i = 0; i < m; i += kFewRows, at.a += kFewRows * at.aStride, at.c += kFewRows * at.cStride) {
    if (m - i == 1) dotBlock<1, columns>(at, accumulate);
    else dotBlock<2, columns>(at, accumulate);
  }
}

void dot(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
         bool accumulate) {
  int64_t j = 0;
  const auto at = [&] { return Operands{k, a, aStride, b + j * bStride, bStride, c + j, cStride}; };
  for (; j + 4 <= n; j += 4) dotRows<4>(m, at(), accumulate);
  for (; j < n; ++j) dotRows<1>(m, at(), accumulate);
}

template <int rows, int vectors>
void streamBlock(const Operands& at) {
  __m256 sums[rows][vectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm256_setzero_ps();
  }
  const float* b = at.b;
  for (int64_t l = 0; l < at.k; ++l, b += at.bStride) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const __m256 values = _mm256_loadu_ps(b + v * kLanes);
#pragma GCC unroll 2
      for (int i = 0; i < rows; ++i) sums[i][v] = _mm256_fmadd_ps(_mm256_broadcast_ss(at.a + i * at.aStride + l), values, sums[i][v]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) _mm256_storeu_ps(at.c + i * at.cStride + v * kLanes, sums[i][v]);
  }
}

template <int rows>
void streamLast(const Operands& at, __m256i lanes) {
  __m256 sums[rows];
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (int64_t l = 0; l < at.k; ++l) {
    const __m256 values = _mm256_maskload_ps(at.b + l * at.bStride, lanes);
    for (int i = 0; i < rows; ++i) sums[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(at.a + i * at.aStride + l), values, sums[i]);
  }
  for (int i = 0; i < rows; ++i) _mm256_maskstore_ps(at.c + i * at.cStride, lanes, sums[i]);
}

template <int rows, int wide>
void streamRows(int64_t n, Operands at) {
  int64_t j = 0;
  for (; j + wide * kLanes <= n; j += wide * kLanes, at.b += wide * kLanes, at.c += wide * kLanes) streamBlock<rows, wide>(at);
  for (; j < n; j += kLanes, at.b += kLanes, at.c += kLanes) streamLast<rows>(at, firstLanes(n - j));
}

void stream(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows) {
    const Operands at{k, a + i * aStride, aStride, b, bStride, c + i * cStride, cStride};
    if (m - i == 1) streamRows<1, 8>(n, at);
    else streamRows<2, 4>(n, at);
  }
}

// Eight of the panel's columns.
template <int rows>
void streamInt8Half(int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  // One sum for each position in a group: they do not wait for each other.
  __m256 sums[rows][kGroup];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm256_setzero_ps();
  }
  const auto step = [&](int64_t l, int count) __attribute__((always_inline)) {
    const __m256i group = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + l * kPanelColumns));
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) {
      const __m256 weight = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(group, 24 - 8 * p), 24));
#pragma GCC unroll 2
      for (int i = 0; i < rows; ++i) sums[i][p] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + i * aStride + l + p), weight, sums[i][p]);
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
    _mm256_storeu_ps(c + i * cStride, _mm256_add_ps(_mm256_add_ps(sums[i][0], sums[i][1]), _mm256_add_ps(sums[i][2], sums[i][3])));
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows, a += kFewRows * aStride, c += kFewRows * cStride) {
    for (int j = 0; j < kPanelColumns; j += kLanes) {
      if (m - i == 1) streamInt8Half<1>(k, a, aStride, codes + j * kGroup, c + j, cStride);
      else streamInt8Half<2>(k, a, aStride, codes + j * kGroup, c + j, cStride);
    }
  }
}

}  // namespace

const FloatKernel kFloatAvx2 = {
    .name = "avx2",
    .rows = kRows,
    .columns = kColumns,
    .skinny = kSkinny,
    .dotsAll = false,
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
