// AVX-512 VNNI: vpdpbusd multiplies unsigned pixels (code + 128) by signed weights; the sums start with what takes the 128 off again.
#include <immintrin.h>

#include "conv_tile_body.h"
#include "conv_traits_512.h"

namespace quanto::cpu {
namespace {

struct Int8Traits : CommonTraits {
  static constexpr int kPerElement = 4, kRows = 8, kVectors = 3;
  using Sum = Int;
  static Sum startOf(const int32_t* start, int row) { return broadcast<Sum>(start[row]); }
  static Sum weightOf(const uint32_t* weight) { return broadcast<Sum>(static_cast<int32_t>(*weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) {
    const __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(low)));
    return (Sum)_mm512_inserti32x8(first, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(high)), 1);
  }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) {
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)values, (__m512i)weight);
  }
};

}  // namespace

constinit const ConvKernel kConvInt8Vnni = makeConvKernel<Int8Traits>("vnni");

}  // namespace quanto::cpu
