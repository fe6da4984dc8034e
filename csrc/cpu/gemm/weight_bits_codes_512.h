// A vector of codes in AVX-512 registers, as weight_bits_loops.h wants it.
#pragma once

#include <immintrin.h>

#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

// Of float8: two vectors of 32 values each, moved to float16 by bits.
template <BitsCode code>
struct Codes {
  __m512i words[2];

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
  __m512 centred(int place) const {
    const __m512i both = words[place >> 1];
    return _mm512_cvtph_ps(place & 1 ? _mm512_extracti64x4_epi64(both, 1) : _mm512_castsi512_si256(both));
  }
  __m512 value(int place) const {
    return code == BitsCode::e5m2 ? centred(place) : _mm512_mul_ps(centred(place), _mm512_set1_ps(float8Factor(code)));
  }
};

// Of integers: an unsigned code at bit b of a float32 whose exponent is 23 - b counts whole numbers there, so that nothing is left to do
// but to take the rest off; exact. Codes lie as two's complements, which changes their highest bits.
inline __m512 wholeNumber(__m512i vector, int bits, int bit, float taken) {
  const int mask = ((1 << bits) - 1) << bit, sign = 1 << (bits - 1) << bit, exponent = (150 - bit) << 23;
  constexpr int kAndThenXor = 0x6a;
  const __m512i number = _mm512_ternarylogic_epi32(vector, _mm512_set1_epi32(mask), _mm512_set1_epi32(exponent | sign), kAndThenXor);
  return _mm512_sub_ps(_mm512_castsi512_ps(number), _mm512_set1_ps(static_cast<float>(1 << (23 - bit)) + taken));
}

// 5 codes fit in the mantissa; the others are moved there.
template <>
struct Codes<BitsCode::int4> {
  __m512i lower, upper;

  explicit Codes(const uint8_t* in) : lower(_mm512_loadu_si512(in)), upper(_mm512_srli_epi32(lower, 12)) {}
  __m512 at(int place, float taken) const {
    return place < 5 ? wholeNumber(lower, 4, 4 * place, taken) : wholeNumber(upper, 4, 4 * place - 12, taken);
  }
  __m512 centred(int place) const { return at(place, 8); }
  __m512 value(int place) const { return at(place, 0); }
};

// A byte's codes at a time: few constants are needed.
template <>
struct Codes<BitsCode::int2> {
  __m512i bytes[4];

  explicit Codes(const uint8_t* in) {
    bytes[0] = _mm512_loadu_si512(in);
#pragma GCC unroll 3
    for (int i = 1; i < 4; ++i) bytes[i] = _mm512_srli_epi32(bytes[0], static_cast<unsigned>(8 * i));
  }
  __m512 at(int place, float taken) const { return wholeNumber(bytes[place / 4], 2, 2 * (place % 4), taken); }
  __m512 centred(int place) const { return at(place, 2); }
  __m512 value(int place) const { return at(place, 0); }
};

}  // namespace
}  // namespace quanto::cpu
