#include "float_convert_avx512.h"

#include <immintrin.h>

#include "float_convert_avx2.h"
#include "pack_int8.h"
#include "whole_numbers_512.h"

namespace quanto::cpu {
namespace {

constexpr int kLanes = 16;

// 16 x 16: pairs of rows, pairs of pairs, then twice the quarters of registers.
inline void transposeRegisters(__m512* rows) {
  __m512 pairs[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kLanes; i += 4) {
    rows[i] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    rows[i + 1] = _mm512_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    rows[i + 2] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    rows[i + 3] = _mm512_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 evenLow = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88), oddLow = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
    const __m512 evenHigh = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
    const __m512 oddHigh = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
    pairs[i] = _mm512_shuffle_f32x4(evenLow, evenHigh, 0x88);
    pairs[i + 4] = _mm512_shuffle_f32x4(oddLow, oddHigh, 0x88);
    pairs[i + 8] = _mm512_shuffle_f32x4(evenLow, evenHigh, 0xdd);
    pairs[i + 12] = _mm512_shuffle_f32x4(oddLow, oddHigh, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = pairs[i];
}

__mmask16 firstLanes(int64_t count) { return count >= kLanes ? 0xffff : static_cast<__mmask16>((1u << count) - 1); }

// Up to 16 columns of 16 rows.
__attribute__((always_inline)) inline void transposeBlock(const float* in, int64_t inStride, int64_t columns, float* out,
                                                          int64_t outStride) {
  const __mmask16 lanes = firstLanes(columns);
  __m512 rows[kLanes];
#pragma GCC unroll 16
  for (int j = 0; j < kLanes; ++j) {
    // Short runs of many rows are more than the hardware prefetcher foresees, and these are often followed by others.
    __builtin_prefetch(in + (kLanes + j) * inStride);
    rows[j] = _mm512_maskz_loadu_ps(lanes, in + j * inStride);
  }
  transposeRegisters(rows);
#pragma GCC unroll 16
  for (int j = 0; j < kLanes; ++j) {
    if (j == columns) return;
    _mm512_storeu_ps(out + j * outStride, rows[j]);
  }
}

}  // namespace

void transposeAvx512(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride) {
  // Fewer columns are quicker one by one.
  constexpr int64_t kFewColumns = 4;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes, in += kLanes * inStride, out += kLanes) {
    int64_t l = 0;
    for (; k - l >= kFewColumns; l += kLanes) transposeBlock(in + l, inStride, k - l, out + l * outStride, outStride);
    for (; l < k; ++l) {
      const auto at = [&](int j) __attribute__((always_inline)) { return in[l + j * inStride]; };
      _mm512_storeu_ps(out + l * outStride, _mm512_setr_ps(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10),
                                                           at(11), at(12), at(13), at(14), at(15)));
    }
  }
  if (i < count) transposeAvx2(count - i, k, in, inStride, out, outStride);
}

void widenInt8Avx512(int64_t k, const int8_t* codes, float* out, int64_t outStride) {
  const SignedBytes bytes;
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    const __m512i group = _mm512_loadu_si512(codes);
#pragma GCC unroll 4
    for (int p = 0; p < kGroup; ++p, out += outStride) {
      if (l + p == k) return;
      _mm512_storeu_ps(out, bytes.of(group, p));
    }
  }
}

}  // namespace quanto::cpu
