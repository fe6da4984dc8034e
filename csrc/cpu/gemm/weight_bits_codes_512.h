// A vector of codes in AVX-512 registers, as weight_bits_loops.h wants it.
#pragma once

#include <immintrin.h>

#include "weight_bits_loops.h"
#include "whole_numbers_512.h"

namespace quanto::cpu {
namespace {

// Of float8: two vectors of 32 values each, moved to float16 by bits.
template <BitsCode code>
struct Codes {
  __m512i words[2];

  struct Constants {};
  explicit Codes(const uint8_t* vector) {
    for (int i = 0; i < 2; ++i) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(vector) + i);
      const __m512i wide = _mm512_cvtepi8_epi16(bytes);
      if (code == BitsCode::e5m2) {
        words[i] = _mm512_slli_epi16(wide, 8);
        continue;
      }
      // The sign of a code was extended over the exponent's highest bit.
      const __m512i moved = _mm512_and_si512(_mm512_slli_epi16(wide, 7), _mm512_set1_epi16(static_cast<short>(0xbfff)));
      const __m256i sign = _mm256_set1_epi8(static_cast<char>(0x80));
      const __mmask32 nan = code == BitsCode::e4m3fn ? _mm256_cmpeq_epi8_mask(_mm256_or_si256(bytes, sign), _mm256_set1_epi8(-1))
                                                     : _mm256_cmpeq_epi8_mask(bytes, sign);
      words[i] = _mm512_mask_mov_epi16(moved, nan, _mm512_set1_epi16(0x7e00));
    }
  }
  __m512 centred(int place, const Constants& = {}) const {
    const __m512i both = words[place >> 1];
    return _mm512_cvtph_ps(place & 1 ? _mm512_extracti64x4_epi64(both, 1) : _mm512_castsi512_si256(both));
  }
  __m512 value(int place) const {
    return code == BitsCode::e5m2 ? centred(place) : _mm512_mul_ps(centred(place), _mm512_set1_ps(float8Factor(code)));
  }
};

// Where every value is multiplied and added to many times, the units that do so are better left alone: there 5 codes that fit in the
// mantissa, and others moved there. Where it is scaled and stored, a permutation, which reads only the lowest 4 bits of its indices, is the
// conversion.
template <>
struct Codes<BitsCode::int4> {
  __m512i vector;

  struct Constants {
    WholeNumbers at[5] = {{4, 0, 8}, {4, 4, 8}, {4, 8, 8}, {4, 12, 8}, {4, 16, 8}};
  };
  explicit Codes(const uint8_t* in) : vector(_mm512_loadu_si512(in)) {}
  __m512 centred(int place, const Constants& constants) const {
    return place < 5 ? constants.at[place].of(vector) : constants.at[place - 3].of(_mm512_srli_epi32(vector, 12));
  }
  __m512 value(int place) const {
    return _mm512_permutexvar_ps(_mm512_srli_epi32(vector, static_cast<unsigned>(4 * place)),
                                 _mm512_setr_ps(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  }
};

// The same of 2 bits: a byte's codes at a time, as few constants are needed, and permutations within quarters of the register.
template <>
struct Codes<BitsCode::int2> {
  __m512i vector;

  struct Constants {
    WholeNumbers at[4] = {{2, 0, 2}, {2, 2, 2}, {2, 4, 2}, {2, 6, 2}};
  };
  explicit Codes(const uint8_t* in) : vector(_mm512_loadu_si512(in)) {}
  __m512i shifted(int bits) const { return bits == 0 ? vector : _mm512_srli_epi32(vector, static_cast<unsigned>(bits)); }
  __m512 centred(int place, const Constants& constants) const { return constants.at[place % 4].of(shifted(place / 4 * 8)); }
  __m512 value(int place) const { return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_setr_ps(2, 3, 0, 1)), shifted(2 * place)); }
};

}  // namespace
}  // namespace quanto::cpu
