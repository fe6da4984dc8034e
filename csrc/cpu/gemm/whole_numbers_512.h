// Small integers to float32 in AVX-512 registers, without the units that shift and convert.
#pragma once

#include <immintrin.h>

namespace quanto::cpu {

// A two's complement of so many bits, which begins at a bit of each 32, less `taken`. With its highest bit changed it is a number from 0
// on, and at bit b of a float32 whose exponent is 23 - b it counts whole numbers: what is left to do is to take the rest off; exact.
// bit + bits <= 23.
static inline __attribute__((always_inline)) __m512 wholeNumber(__m512i vector, int bits, int bit, float taken) {
  const int mask = ((1 << bits) - 1) << bit, sign = 1 << (bits - 1) << bit, exponent = (150 - bit) << 23;
  constexpr int kAndThenXor = 0x6a;
  const __m512i number = _mm512_ternarylogic_epi32(vector, _mm512_set1_epi32(mask), _mm512_set1_epi32(exponent | sign), kAndThenXor);
  return _mm512_sub_ps(_mm512_castsi512_ps(number), _mm512_set1_ps(static_cast<float>(1 << (23 - bit)) + taken));
}

// Byte p of each 32 bits as a signed number.
static inline __attribute__((always_inline)) __m512 signedByte(__m512i vector, int p) {
  return p < 2 ? wholeNumber(vector, 8, 8 * p, 128) : wholeNumber(_mm512_srli_epi32(vector, 16), 8, 8 * p - 16, 128);
}

}  // namespace quanto::cpu
