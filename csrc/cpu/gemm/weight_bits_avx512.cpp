#include <immintrin.h>

#include "weight_bits_codes_512.h"
#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

struct Traits {
  using Vector = __m512;
  static constexpr int kSums = 12;  // that fit in the registers beside the totals
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* in) { return _mm512_loadu_ps(in); }
  static void store(float* out, Vector value) { _mm512_storeu_ps(out, value); }
  static Vector all(float value) { return _mm512_set1_ps(value); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector fused(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector multiplyAdd(float a, Vector b, Vector c) { return _mm512_fmadd_ps(_mm512_set1_ps(a), b, c); }
  // Product and difference are rounded each, as when dequantizing.
  static Vector affine(Vector scale, Vector code, Vector shift) { return _mm512_sub_ps(_mm512_mul_ps(scale, code), shift); }
};

}  // namespace

void streamBitsAvx512(int rows, const BitsRows& product) { streamAny<Codes, Traits, kMaxBitsRows>(rows, product); }
void unpackBitsAvx512(const BitsBlock& block) { unpackAny<Codes, Traits>(block); }

const BitsKernel kBitsAvx512 = {
    .name = "avx512",
    .skinny = 32,
    .rows = kMaxBitsRows,
    .stream = streamBitsAvx512,
    .unpack = unpackBitsAvx512,
    .multiply = multiplyBitsAvx2,
    .pairRows = 0,
    .multiplyPair = nullptr,
    .tiles = nullptr,
};

}  // namespace quanto::cpu
