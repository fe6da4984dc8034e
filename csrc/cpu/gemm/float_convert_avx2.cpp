#include "float_convert_avx2.h"

#include <immintrin.h>

#include "pack_int8.h"

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

// The first `count` of a group's 4 values, of 8 columns.
void widenGroup(__m256i group, int count, float* out, int64_t outStride) {
#pragma GCC unroll 4
  for (int p = 0; p < count; ++p) {
    _mm256_storeu_ps(out + p * outStride, _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(group, 24 - 8 * p), 24)));
  }
}

}  // namespace

void widenInt8Avx2(int64_t k, const int8_t* codes, float* out, int64_t outStride) {
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    for (int j = 0; j < kPanelColumns; j += kLanes) {
      const __m256i group = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + j * kGroup));
      float* to = out + l * outStride + j;
      if (l + kGroup <= k) widenGroup(group, kGroup, to, outStride);
      else widenGroup(group, static_cast<int>(k - l), to, outStride);
    }
  }
}

void transposeAvx2(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride) {
  if (count < kLanes || k < kLanes) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t l = 0; l < k; ++l) out[l * outStride + i] = in[i * inStride + l];
    }
    return;
  }
  // The last blocks end where the matrix does, and so repeat some of the work.
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t row = i < count - kLanes ? i : count - kLanes;
    const float* rows = in + row * inStride;
    for (int64_t l = 0; l < k; l += kLanes) {
      const int64_t column = l < k - kLanes ? l : k - kLanes;
      // Short runs of many rows are more than the hardware prefetcher foresees.
      for (int64_t next = kLanes; next < 2 * kLanes; ++next) __builtin_prefetch(rows + next * inStride + column);
      transposeBlock(rows + column, inStride, out + column * outStride + row, outStride);
    }
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
