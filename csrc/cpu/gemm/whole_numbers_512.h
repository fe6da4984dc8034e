// Small integers to float32 in AVX-512 registers, without the units that shift and convert.
#pragma once

#include <immintrin.h>

namespace quanto::cpu {
namespace {

// Two's complements of so many bits, which begin at a bit of each 32, less a number. With its highest bit changed such a one is a number
// from 0 on, and at bit b of a float32 whose exponent is 23 - b it counts whole numbers: what is left to do is to take the rest off; exact.
// bit + bits <= 23.
struct WholeNumbers {
  __m512i mask, sign;
  __m512 taken;

  __attribute__((always_inline)) WholeNumbers(int bits, int bit, float less)
      : mask(_mm512_set1_epi32(((1 << bits) - 1) << bit)),
        sign(_mm512_set1_epi32((150 - bit) << 23 | 1 << (bits - 1) << bit)),
        taken(_mm512_set1_ps(static_cast<float>(1 << (23 - bit)) + less)) {
    // Or the compiler makes them anew in every loop.
    __asm__("" : "+v"(mask), "+v"(sign), "+v"(taken));
  }
  __attribute__((always_inline)) __m512 of(__m512i vector) const {
    constexpr int kAndThenXor = 0x6a;
    return _mm512_sub_ps(_mm512_castsi512_ps(_mm512_ternarylogic_epi32(vector, mask, sign, kAndThenXor)), taken);
  }
};

// The bytes of each 32 bits as signed numbers.
struct SignedBytes {
  WholeNumbers at[2] = {{8, 0, 128}, {8, 8, 128}};

  __attribute__((always_inline)) __m512 of(__m512i vector, int byte) const {
    return at[byte % 2].of(byte < 2 ? vector : _mm512_srli_epi32(vector, 16));
  }
};

}  // namespace
}  // namespace quanto::cpu
