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
template <int digits, int shift>
static void splitDigits(int64_t count, const float* in, int exponent, int8_t* out, int64_t outStride) {
  // Adding half a digit at the lower places carries into the place above; what is left there is a digit + 128, and a signed digit once it
  // is flipped.
  constexpr uint32_t kAll = 0x80808080u >> 8 * (4 - digits), kHalves = kAll >> 8, kAdded = shift == 0 ? kHalves : kAll,
                     kFlipped = shift == 0 ? kHalves : 0;
  const float first = powerOfTwo(exponent / 2), second = powerOfTwo(exponent - exponent / 2);
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) {
    const auto whole = static_cast<uint32_t>(static_cast<int32_t>(__builtin_nearbyintf(in[i] * first * second)));
    const uint32_t number = (whole + kAdded) ^ kFlipped;
    for (int digit = 0; digit < digits; ++digit) out[digit * outStride + i] = static_cast<int8_t>(number >> 8 * (digits - 1 - digit));
  }
}

template <int digits>
static void scaleDigits(const ScaledTile& tile) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int32_t* sums = tile.sums + digits * i * tile.sumsStride;
    float* out = tile.out + i * tile.outStride;
    const float rowScale = tile.rowScale[i];
    // The lowest digit first: less is lost to the sum.
    const auto valueAt = [&](int64_t j) __attribute__((always_inline)) {
      float value = static_cast<float>(sums[(digits - 1) * tile.sumsStride + j]);
      for (int digit = digits - 2; digit >= 0; --digit)
        value = static_cast<float>(sums[digit * tile.sumsStride + j]) * static_cast<float>(1 << 8 * (digits - 1 - digit)) + value;
      return value * rowScale * tile.columnScale[j];
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

template <int digits, int shift>
static constexpr DigitForm kDigitForm = {digits, splitDigits<digits, shift>, scaleDigits<digits>};

template <int shift>
static constexpr DigitLoops kDigitLoops = {largestMagnitudeBits, kDigitForm<kExactDigits, shift>, kDigitForm<kRoundedDigits, shift>};

}  // namespace quanto::cpu
