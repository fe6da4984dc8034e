#include <immintrin.h>

#include "float_convert_avx2.h"
#include "float_convert_avx512.h"
#include "kernels.h"
#include "whole_numbers_512.h"

namespace quanto::cpu {
namespace {

struct Vector {
  using Type = __m512;
  static constexpr int kLanes = 16;
  static Type zero() { return _mm512_setzero_ps(); }
  static Type broadcast(const float& value) { return _mm512_set1_ps(value); }
  static Type load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Type value) { _mm512_storeu_ps(to, value); }
  static Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static Type mul(Type a, Type b) { return _mm512_mul_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static float sumLanes(Type value) { return _mm512_reduce_add_ps(value); }
  static __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
  static Type loadFirst(const float* from, int64_t count) { return _mm512_maskz_loadu_ps(first(count), from); }
  static void storeFirst(float* to, int64_t count, Type value) { _mm512_mask_storeu_ps(to, first(count), value); }
  struct Weights {
    SignedBytes bytes;
    Type of(const int8_t* groups, int p) const { return bytes.of(_mm512_loadu_si512(groups), p); }
  };
};

// 14 x 2 sums, 2 vectors of b and 1 of a: 31 of the 32 registers.
constexpr int kTileRows = 14, kTileVectors = 2;
constexpr int kFewRows = 4;
constexpr int kWideVectors[kFewRows] = {16, 8, 4, 4};
constexpr int kSkinny = 32;  // measured

}  // namespace
}  // namespace quanto::cpu

#include "float_body.h"

namespace quanto::cpu {
namespace {

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

// Eight columns of b, which stay in the first-level cache while the rows of a pass, three loads of them for 24 products.
template <int rows>
void dotEight(const Operands& at, bool accumulate) {
  constexpr int kColumns = 8;
  __m512 sums[rows][kColumns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  const auto step = [&](int64_t l, __mmask16 lanes) __attribute__((always_inline)) {
    __m512 a[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) a[i] = _mm512_maskz_loadu_ps(lanes, at.a + i * at.aStride + l);
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) {
      __m512 b = _mm512_maskz_loadu_ps(lanes, at.b + j * at.bStride + l);
      // Loaded once: the compiler would make it an operand of each product.
      __asm__("" : "+v"(b));
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sums[i][j] = _mm512_fmadd_ps(a[i], b, sums[i][j]);
    }
  };
  int64_t l = 0;
  for (; l + Vector::kLanes <= at.k; l += Vector::kLanes) step(l, 0xffff);
  if (l < at.k) step(l, Vector::first(at.k - l));
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    float* c = at.c + i * at.cStride;
    // A copy, so that the sums above stay in registers.
    __m512 finished[kColumns];
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j) finished[j] = sums[i][j];
    const __m256 all = sumLanes(finished);
    _mm256_storeu_ps(c, accumulate ? _mm256_add_ps(_mm256_loadu_ps(c), all) : all);
  }
}

void dotByEights(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c,
                 int64_t cStride, bool accumulate) {
  constexpr int64_t kColumns = 8, kTogether = 3;
  int64_t j = 0;
  for (; j + kColumns <= n; j += kColumns) {
    Operands at{k, a, aStride, b + j * bStride, bStride, c + j, cStride};
    for (int64_t i = 0; i < m; i += kTogether, at.a += kTogether * aStride, at.c += kTogether * cStride) {
      switch (m - i) {
        case 1:
          dotEight<1>(at, accumulate);
          break;
        case 2:
          dotEight<2>(at, accumulate);
          break;
        default:
          dotEight<3>(at, accumulate);
      }
    }
  }
  dot(m, n - j, k, a, aStride, b + j * bStride, bStride, c + j, cStride, accumulate);
}

}  // namespace

const FloatKernel kFloatAvx512 = {
    .name = "avx512",
    .rows = kTileRows,
    .columns = kTileColumns,
    .skinny = kSkinny,
    .dotsAll = true,
    .tile = runTile,
    .dot = dotByEights,
    .stream = stream,
    .streamInt8 = streamInt8,
    .widenInt8 = widenInt8Avx512,
    .transpose = transposeAvx512,
    .widenFloat16 = widenFloat16Avx2,
    .narrowFloat16 = narrowFloat16Avx2,
};

}  // namespace quanto::cpu
