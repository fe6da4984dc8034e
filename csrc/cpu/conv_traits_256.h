// What the tiles of 256 bits share, compiled anew in every instruction set's file; no C++ library header here.
#pragma once

#include <immintrin.h>

#include "conv_rows_body.h"

namespace quanto::cpu {
namespace {

struct CommonTraits {
  static constexpr int kLanes = 8;
  static constexpr bool kFuses = true;
  using Float = Vectors<kLanes>::Float;
  using Int = Vectors<kLanes>::Int;
  using Codes = Vectors<kLanes>::Codes;
  // The second operand where one is NaN.
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float subtractProduct(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }
  // Of numbers from -128 to 127. The compiler would take them one by one, and so to `widen`.
  static Codes narrow(Int x) {
    const __m256i words = _mm256_packs_epi32((__m256i)x, (__m256i)x), bytes = _mm256_packs_epi16(words, words);
    const __m128i codes = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    return (Codes)_mm_cvtsi128_si64(codes);
  }
  static Int widen(Codes x) { return (Int)_mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)x)); }
  // Half to even; 0 for NaN.
  static Int roundEven(Float x) { return (Int)_mm256_cvtps_epi32(_mm256_and_ps(x, _mm256_cmp_ps(x, x, _CMP_ORD_Q))); }
};

}  // namespace
}  // namespace quanto::cpu
