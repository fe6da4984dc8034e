#include <immintrin.h>

#include "float_convert_avx2.h"
#include "float_convert_avx512.h"
#include "kernels.h"
#include "whole_numbers_512.h"

namespace quanto::cpu {
namespace {

// The sums of the lanes of each of 8 vectors, in their order.
__m256 sumsOfEight(const __m512* v) {
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

struct Vector {
  using Type = __m512;
  static constexpr int kLanes = 16, kDotColumns = 8;
  static Type zero() { return _mm512_setzero_ps(); }
  static Type broadcast(const float& value) { return _mm512_set1_ps(value); }
  static Type load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Type value) { _mm512_storeu_ps(to, value); }
  static Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static Type mul(Type a, Type b) { return _mm512_mul_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static float sumLanes(Type value) { return _mm512_reduce_add_ps(value); }
  static void storeSums(float* c, const Type* sums, bool accumulate) {
    const __m256 all = sumsOfEight(sums);
    _mm256_storeu_ps(c, accumulate ? _mm256_add_ps(_mm256_loadu_ps(c), all) : all);
  }
  static void keepLoaded(Type& value) { __asm__("" : "+v"(value)); }
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
// 3 x 8 sums, 3 vectors of a and 1 of b.
constexpr int kDotRows = 3;
constexpr int kFewRows = 4;
constexpr int kWideVectors[kFewRows] = {16, 8, 4, 4};
constexpr int kInt8Rows = 4, kInt8WideRows = 4;
constexpr int kSkinny = 32;  // measured

}  // namespace
}  // namespace quanto::cpu

#include "float_body.h"

namespace quanto::cpu {

const FloatKernel kFloatAvx512 = {
    .name = "avx512",
    .rows = kTileRows,
    .columns = kTileColumns,
    .skinny = kSkinny,
    .dotRows = INT64_MAX,
    .tile = runTile,
    .dot = dot,
    .stream = stream,
    .streamInt8 = streamInt8,
    .widenInt8 = widenInt8Avx512,
    .transpose = transposeAvx512,
    .widenFloat16 = widenFloat16Avx2,
    .narrowFloat16 = narrowFloat16Avx2,
};

}  // namespace quanto::cpu
