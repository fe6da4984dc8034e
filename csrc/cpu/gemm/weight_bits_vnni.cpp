// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes, and codes of few bits are unsigned as they are.
#include <immintrin.h>

#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

struct Traits {
  using Vector = __m512;
  using Sums = __m512i;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* in) { return _mm512_loadu_ps(in); }
  static void store(float* out, Vector value) { _mm512_storeu_ps(out, value); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector all(float value) { return _mm512_set1_ps(value); }
  // Product and difference are rounded each.
  static Vector affine(Vector scale, Vector code, Vector shift) { return _mm512_sub_ps(_mm512_mul_ps(scale, code), shift); }
  static Sums begin(int32_t value) { return _mm512_set1_epi32(value); }
  static Sums dot(Sums sums, __m512i codes, const int8_t* four) {
    // The broadcast as part of the instruction, which the compiler makes another one.
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(codes), "m"(*reinterpret_cast<const char(*)[4]>(four)));
    return sums;
  }
  static Vector toFloat(Sums sums) { return _mm512_cvtepi32_ps(sums); }
};

template <BitsCode code>
struct Parts {
  __m512i vector;

  explicit Parts(const uint8_t* in)
      : vector(_mm512_xor_si512(_mm512_loadu_si512(in), _mm512_set1_epi32(static_cast<int>(bitsSigns(code))))) {}
  __m512i part(int index) const {
    return _mm512_and_si512(_mm512_srli_epi32(vector, static_cast<unsigned>(bitsOf(code) * index)),
                            _mm512_set1_epi32(static_cast<int>(bitsPartMask(code))));
  }
};

}  // namespace

void multiplyBitsVnni(int rows, const BitsIntegerRows& product) { multiplyAny<Parts, Traits, kMaxBitsRows>(rows, product); }

const BitsKernel kBitsVnni = {
    .name = "vnni",
    .skinny = 32,
    .rows = kMaxBitsRows,
    .stream = streamBitsAvx512,
    .unpack = unpackBitsAvx512,
    .multiply = multiplyBitsVnni,
    .tiles = nullptr,
};

}  // namespace quanto::cpu
