#include "float_convert_avx2.h"

#include <immintrin.h>

namespace quanto::cpu {
namespace {

constexpr int kLanes = 8;

// 8 x 8: pairs of rows, then pairs of pairs, then halves.
void transposeBlock(const float* in, int64_t inStride, float* out, int64_t outStride) {
  __m256 pairs[kLanes], quads[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 2) {
    const __m256 upper = _mm256_loadu_ps(in + i * inStride), lower = _mm256_loadu_ps(in + (i + 1) * inStride);
    pairs[i] = _mm256_unpacklo_ps(upper, lower);
    pairs[i + 1] = _mm256_unpackhi_ps(upper, lower);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kLanes / 2; ++i) {
    _mm256_storeu_ps(out + i * outStride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * outStride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
  }
}

}  // namespace

void transposeAvx2(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride) {
  const int64_t blockedCount = count / kLanes * kLanes, blockedK = k / kLanes * kLanes;
  for (int64_t i = 0; i < blockedCount; i += kLanes) {
    for (int64_t l = 0; l < blockedK; l += kLanes) transposeBlock(in + i * inStride + l, inStride, out + l * outStride + i, outStride);
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t l = i < blockedCount ? blockedK : 0; l < k; ++l) out[l * outStride + i] = in[i * inStride + l];
  }
}

void widenFloat16Avx2(int64_t count, const uint16_t* in, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
  }
  for (; i < count; ++i) out[i] = _cvtsh_ss(in[i]);
}

void narrowFloat16Avx2(int64_t count, const float* in, uint16_t* out) {
  constexpr int kNearestEven = _MM_FROUND_TO_NEAREST_INT;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), kNearestEven));
  }
  for (; i < count; ++i) out[i] = _cvtss_sh(in[i], kNearestEven);
}

}  // namespace quanto::cpu
