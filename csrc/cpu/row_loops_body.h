// The loops of row_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "vector_math.h"
//
#include "fold.h"
#include "row_loops.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

inline float negated(float x) { return -x; }
inline float finiteMagnitude(float x) { return __builtin_fabsf(x) < __builtin_inff() ? __builtin_fabsf(x) : 0.0f; }

// The largest lift(x[i]), NaN if there is one. NaN is looked for in a second pass over each block, which keeps both loops vectorizable.
template <float (*lift)(float)>
float largestOf(const float* x, int64_t n) {
  int32_t unordered = 0;
  const float largest = largestNumber<lift>(x, n, [&](const float* block, int64_t count) {
    for (int64_t i = 0; i < count; ++i) unordered |= lift(block[i]) != lift(block[i]);
  });
  return unordered ? __builtin_nanf("") : largest;
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
