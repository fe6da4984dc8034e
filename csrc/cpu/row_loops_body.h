// The loops of row_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "vector_math.h"
//
#include "fold.h"
#include "row_loops.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

// Enough running maxima to keep every vector unit busy.
constexpr int kMaxima = 64;

inline float same(float x) { return x; }
inline float negated(float x) { return -x; }
inline float finiteMagnitude(float x) { return __builtin_fabsf(x) < __builtin_inff() ? __builtin_fabsf(x) : 0.0f; }

// maxima = lift of `count` values from a block, and of those there; false if one is NaN. NaN is looked for apart, in a second pass, which
// keeps both loops vectorizable. count is a multiple of kMaxima.
template <float (*lift)(float)>
bool foldBlock(const float* block, int64_t count, float* maxima) {
  for (int64_t row = 0; row < count; row += kMaxima) {
    for (int i = 0; i < kMaxima; ++i) {
      const float value = lift(block[row + i]);
      maxima[i] = maxima[i] > value ? maxima[i] : value;
    }
  }
  int32_t unordered = 0;
  for (int64_t i = 0; i < count; ++i) unordered |= lift(block[i]) != lift(block[i]);
  return !unordered;
}

// The largest lift(x[i]).
template <float (*lift)(float)>
float largestOf(const float* x, int64_t n) {
  constexpr int64_t kBlock = 8 * kMaxima;
  float maxima[kMaxima];
  for (float& value : maxima) value = -__builtin_inff();
  const int64_t rest = n % kMaxima, whole = n - rest;
  for (int64_t begin = 0; begin < whole; begin += kBlock) {
    if (!foldBlock<lift>(x + begin, whole - begin < kBlock ? whole - begin : kBlock, maxima)) return __builtin_nanf("");
  }
  if (rest > 0) {
    // Filled up with a value that is there.
    float block[kMaxima];
    __builtin_memcpy(block, x + whole, rest * sizeof(float));
    for (int64_t i = rest; i < kMaxima; ++i) block[i] = block[0];
    if (!foldBlock<lift>(block, kMaxima, maxima)) return __builtin_nanf("");
  }
  // In halves, so that no comparison waits for the one before.
  for (int width = kMaxima / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) maxima[i] = maxima[i] > maxima[i + width] ? maxima[i] : maxima[i + width];
  }
  return maxima[0];
}

template <class Code>
inline constexpr float kLowestCode = static_cast<Code>(-1) < 0 ? -128.0f : 0.0f;
template <class Code>
inline constexpr float kHighestCode = kLowestCode<Code> + 255.0f;

// The code of a quotient. Adding and subtracting the shift rounds it half to even, in vectorizable arithmetic.
template <class Code>
inline Code encode(float q) {
  q = q == q ? q : 0.0f;
  q = q < kLowestCode<Code> ? kLowestCode<Code> : q;
  q = q > kHighestCode<Code> ? kHighestCode<Code> : q;
  return static_cast<Code>(static_cast<int32_t>((q + math::kRoundingShift) - math::kRoundingShift));
}

inline float quotient(float x, float scale) { return scale == 0.0f ? 0.0f : x / scale; }

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
// The same code without dividing, for a vector unit divides 16 times as slowly as it multiplies: x is bounded, then one step makes the
// quotient faithful and the next one correctly rounded (Markstein, "Computation of elementary functions on the IBM RISC System/6000",
// 1990). Reciprocal and residuals must be normal numbers.
constexpr float kSmallestScale = 0x1p-60f, kLargestScale = 0x1p60f;
template <class Code>
inline Code encodeBy(float x, float scale, float reciprocal) {
  const float lowest = kLowestCode<Code> * scale, highest = kHighestCode<Code> * scale;
  // Adding 0 keeps the compiler from joining both bounds into a tree of choices, three times as many steps as a maximum and a minimum.
  x = (x < lowest ? lowest : x) + 0.0f;
  x = x > highest ? highest : x;
  const float near = x * reciprocal;
  const float faithful = math::fma(math::fma(-near, scale, x), reciprocal, near);
  const float correct = math::fma(math::fma(-faithful, scale, x), reciprocal, faithful);
  const uint32_t code = math::bitsOf(correct + math::kRoundingShift) - math::bitsOf(math::kRoundingShift);
  return static_cast<Code>(correct == correct ? code : 0);
}
#endif

template <class Code>
void quantize(const float* x, const float* scale, int64_t scaleStep, Code* codes, int64_t n) {
  if (scaleStep == 0) {
    const float only = *scale;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    if (only >= kSmallestScale && only <= kLargestScale) {
      const float reciprocal = 1 / only;
      QUANTO_VECTORIZE
      for (int64_t i = 0; i < n; ++i) codes[i] = encodeBy<Code>(x[i], only, reciprocal);
      return;
    }
#endif
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) codes[i] = encode<Code>(quotient(x[i], only));
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) codes[i] = encode<Code>(quotient(x[i], scale[i]));
  }
}

template <class Code>
void widen(const Code* codes, float* out, int64_t n) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]);
}

double sum(const float* x, int64_t n) {
  return sumOf(n, [=](int64_t i) { return x[i]; });
}

double squares(const float* x, float mean, int64_t n) {
  return sumOf(n, [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
}

void addTo(double* sums, const float* x, int64_t n) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) sums[i] += x[i];
}

float minimum(const float* x, int64_t n) { return -largestOf<negated>(x, n); }

constexpr RowLoops makeRowLoops() {
  return {largestOf<same>, minimum,          largestOf<finiteMagnitude>, sum,           squares,
          addTo,           quantize<int8_t>, quantize<uint8_t>,          widen<int8_t>, widen<uint8_t>};
}

}  // namespace
}  // namespace quanto::cpu
