#include <immintrin.h>

#include "conv_tile_body.h"
#include "conv_traits_512.h"

namespace quanto::cpu {
namespace {

struct FloatTraits : CommonTraits {
  static constexpr int kPerElement = 1, kRows = 8, kVectors = 3;
  using Sum = Float;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) { return _mm512_set1_ps(*reinterpret_cast<const float*>(weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) {
    const auto* second = reinterpret_cast<const float*>(high);
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(reinterpret_cast<const float*>(low))), _mm256_loadu_ps(second), 1);
  }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return _mm512_fmadd_ps(weight, values, sum); }
};

}  // namespace

// 8 x 3 sums, 3 vectors of pixels and 1 of weights: 28 of the 32 registers.
constinit const ConvKernel kConvFloatAvx512 = makeConvKernel<FloatTraits>("avx512");

}  // namespace quanto::cpu
