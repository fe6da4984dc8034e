// The loops of row_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "row_loops.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

// Enough running maxima to keep every vector unit busy.
constexpr int kMaxima = 64;

inline float same(float x) { return x; }
inline float negated(float x) { return -x; }
inline float finiteMagnitude(float x) { return __builtin_fabsf(x) < __builtin_inff() ? __builtin_fabsf(x) : 0.0f; }

// The largest lift(x[i]). NaN is looked for apart, in a second pass over each block, which keeps both loops vectorizable.
template <float (*lift)(float)>
float largestOf(const float* x, int64_t n) {
  constexpr int64_t kBlock = 8 * kMaxima;
  float largest = -__builtin_inff();
  int64_t begin = 0;
  for (; begin + kBlock <= n; begin += kBlock) {
    const float* block = x + begin;
    float maxima[kMaxima];
    for (int i = 0; i < kMaxima; ++i) maxima[i] = lift(block[i]);
    for (int64_t row = kMaxima; row < kBlock; row += kMaxima) {
      for (int i = 0; i < kMaxima; ++i) {
        const float value = lift(block[row + i]);
        maxima[i] = maxima[i] > value ? maxima[i] : value;
      }
    }
    int32_t unordered = 0;
    for (int64_t i = 0; i < kBlock; ++i) unordered |= lift(block[i]) != lift(block[i]);
    if (unordered) return __builtin_nanf("");
    for (const float value : maxima) largest = largest > value ? largest : value;
  }
  for (; begin < n; ++begin) {
    const float value = lift(x[begin]);
    if (value != value) return value;
    largest = largest > value ? largest : value;
  }
  return largest;
}

// Adding and subtracting 1.5 * 2^23 rounds |x| < 2^22 to an integer, half to even, in vectorizable arithmetic.
template <class Code>
inline Code encode(float x, float scale) {
  constexpr float kRoundingShift = 12582912.0f;
  constexpr float low = static_cast<Code>(-1) < 0 ? -128.0f : 0.0f, high = low + 255.0f;
  float q = scale == 0.0f ? 0.0f : x / scale;
  q = q == q ? q : 0.0f;
  q = q < low ? low : q;
  q = q > high ? high : q;
  return static_cast<Code>(static_cast<int32_t>((q + kRoundingShift) - kRoundingShift));
}

template <class Code>
void quantize(const float* x, const float* scale, int64_t scaleStep, Code* codes, int64_t n) {
  if (scaleStep == 0) {
    const float only = *scale;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) codes[i] = encode<Code>(x[i], only);
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) codes[i] = encode<Code>(x[i], scale[i]);
  }
}

template <class Code>
void widen(const Code* codes, float* out, int64_t n) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]);
}

float minimum(const float* x, int64_t n) { return -largestOf<negated>(x, n); }

constexpr RowLoops makeRowLoops() {
  return {largestOf<same>, minimum, largestOf<finiteMagnitude>, quantize<int8_t>, quantize<uint8_t>, widen<int8_t>, widen<uint8_t>};
}

}  // namespace
}  // namespace quanto::cpu
