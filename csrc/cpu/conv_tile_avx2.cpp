// Bytes are widened to 16 bits in pairs: vpmaddubsw would saturate, vpmaddwd is exact.
#include <immintrin.h>

#include "conv_tile_body.h"
#include "conv_traits_256.h"

namespace quanto::cpu {
namespace {

struct FloatTraits : CommonTraits {
  static constexpr int kPerElement = 1, kRows = 4, kVectors = 3;
  using Sum = Float;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) { return _mm256_set1_ps(*reinterpret_cast<const float*>(weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) {
    return _mm256_loadu2_m128(reinterpret_cast<const float*>(high), reinterpret_cast<const float*>(low));
  }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return _mm256_fmadd_ps(weight, values, sum); }
};

struct Int8Traits : CommonTraits {
  static constexpr int kPerElement = 2, kRows = 4, kVectors = 2;
  using Sum = Int;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) { return broadcast<Sum>(static_cast<int32_t>(*weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) {
    return (Sum)_mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(high), reinterpret_cast<const __m128i*>(low));
  }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return sum + (Sum)_mm256_madd_epi16((__m256i)values, (__m256i)weight); }
};

}  // namespace

// 4 x 3 sums, 3 vectors of pixels and 1 of weights: all 16 registers.
constinit const ConvKernel kConvFloatAvx2 = makeConvKernel<FloatTraits>("avx2");
constinit const ConvKernel kConvInt8Avx2 = makeConvKernel<Int8Traits>("avx2");

}  // namespace quanto::cpu
