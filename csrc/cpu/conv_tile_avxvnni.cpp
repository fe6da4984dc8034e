#include <immintrin.h>

#include "conv_tile_body.h"
#include "conv_traits_256.h"

namespace quanto::cpu {
namespace {

struct Int8Traits : CommonTraits {
  static constexpr int kPerElement = 4, kRows = 4, kVectors = 3;
  using Sum = Int;
  static Sum startOf(const int32_t* start, int row) { return broadcast<Sum>(start[row]); }
  static Sum weightOf(const uint32_t* weight) { return broadcast<Sum>(static_cast<int32_t>(*weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) {
    return (Sum)_mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(high), reinterpret_cast<const __m128i*>(low));
  }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) {
    return (Sum)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)values, (__m256i)weight);
  }
};

}  // namespace

constinit const ConvKernel kConvInt8Avxvnni = makeConvKernel<Int8Traits>("avxvnni");

}  // namespace quanto::cpu
