// What an int8 kernel does for products of real rows (gemm_digits.cpp), compiled anew in the file of each instruction set that has them;
// hence static.
#pragma once

#include <stdint.h>

#include "../vectorize.h"
#include "kernels.h"

namespace quanto::cpu {

static uint32_t largestMagnitudeBits(int64_t count, const float* in) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, in + i, sizeof bits);
    bits &= 0x7fffffffu;
    largest = largest > bits ? largest : bits;
  }
  return largest;
}

// The power of two in halves, each of which a float32 has whatever the exponent.
static inline float powerOfTwo(int exponent) {
  const auto bits = static_cast<uint32_t>(exponent + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return power;
}

// Each digit + shift, which is 0 or 128.
template <int shift>
static void splitDigits(int64_t count, const float* in, int exponent, int8_t* out, int64_t outStride) {
  // Adding half a digit at the three lower places carries into the place above; what is left there is a digit + 128, and a signed digit
  // once it is flipped.
  constexpr uint32_t kHalves = 0x00808080, kAdded = shift == 0 ? kHalves : 0x80808080, kFlipped = shift == 0 ? kHalves : 0;
  const float first = powerOfTwo(exponent / 2), second = powerOfTwo(exponent - exponent / 2);
  int8_t *out1 = out + outStride, *out2 = out1 + outStride, *out3 = out2 + outStride;
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) {
    const auto whole = static_cast<uint32_t>(static_cast<int32_t>(__builtin_nearbyintf(in[i] * first * second)));
    const uint32_t digits = (whole + kAdded) ^ kFlipped;
    out[i] = static_cast<int8_t>(digits >> 24);
    out1[i] = static_cast<int8_t>(digits >> 16);
    out2[i] = static_cast<int8_t>(digits >> 8);
    out3[i] = static_cast<int8_t>(digits);
  }
}

static void scaleDigits(const ScaledTile& tile) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int32_t *sums0 = tile.sums + kDigits * i * tile.sumsStride, *sums1 = sums0 + tile.sumsStride, *sums2 = sums1 + tile.sumsStride,
                  *sums3 = sums2 + tile.sumsStride;
    float* out = tile.out + i * tile.outStride;
    const float rowScale = tile.rowScale[i];
    const auto valueAt = [&](int64_t j) __attribute__((always_inline)) {
      const float low = static_cast<float>(sums2[j]) * 0x1p8f + static_cast<float>(sums3[j]);
      const float lower = static_cast<float>(sums1[j]) * 0x1p16f + low;
      return (static_cast<float>(sums0[j]) * 0x1p24f + lower) * rowScale * tile.columnScale[j];
    };
    if (tile.bias) {
      QUANTO_VECTORIZE
      for (int64_t j = 0; j < tile.columns; ++j) out[j] = valueAt(j) + tile.bias[j];
    } else {
      QUANTO_VECTORIZE
      for (int64_t j = 0; j < tile.columns; ++j) out[j] = valueAt(j);
    }
  }
}

template <int shift>
static constexpr DigitLoops kDigitLoops = {largestMagnitudeBits, splitDigits<shift>, scaleDigits};

}  // namespace quanto::cpu
