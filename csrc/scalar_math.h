// The scalar functions that the rows of unary.def and binary.def are written in, for float and for int64.
#pragma once

#include <cmath>
#include <cstdint>

#include "dtype.h"

namespace quanto::math {

QUANTO_HOST_DEVICE inline float exp(float x) { return ::expf(x); }
QUANTO_HOST_DEVICE inline float log(float x) { return ::logf(x); }
QUANTO_HOST_DEVICE inline float sqrt(float x) { return ::sqrtf(x); }
QUANTO_HOST_DEVICE inline float sin(float x) { return ::sinf(x); }
QUANTO_HOST_DEVICE inline float cos(float x) { return ::cosf(x); }
QUANTO_HOST_DEVICE inline float tanh(float x) { return ::tanhf(x); }
QUANTO_HOST_DEVICE inline float erf(float x) { return ::erff(x); }
QUANTO_HOST_DEVICE inline float pow(float x, float y) { return ::powf(x, y); }

// Half to even, whatever the rounding mode of the thread should be: nearbyint under the default mode.
QUANTO_HOST_DEVICE inline float roundEven(float x) { return ::nearbyintf(x); }
QUANTO_HOST_DEVICE inline float floor(float x) { return ::floorf(x); }
QUANTO_HOST_DEVICE inline float ceil(float x) { return ::ceilf(x); }
QUANTO_HOST_DEVICE inline int64_t roundEven(int64_t x) { return x; }
QUANTO_HOST_DEVICE inline int64_t floor(int64_t x) { return x; }
QUANTO_HOST_DEVICE inline int64_t ceil(int64_t x) { return x; }

// The form with exp(-|x|) never overflows.
QUANTO_HOST_DEVICE inline float sigmoid(float x) {
  const float e = ::expf(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}
// sigmoid(-x) is 1 - sigmoid(x) without its cancellation.
QUANTO_HOST_DEVICE inline float siluGrad(float x) { return sigmoid(x) * (1.0f + x * sigmoid(-x)); }

inline constexpr float kInverseSqrt2 = 0.70710678118654752f;
inline constexpr float kInverseSqrt2Pi = 0.39894228040143268f;
inline constexpr float kSqrt2OverPi = 0.79788456080286536f;
inline constexpr float kGeluCubic = 0.044715f;  // Hendrycks and Gimpel 2016, the tanh form

// erfc keeps relative accuracy where 1 + erf(x) would cancel.
QUANTO_HOST_DEVICE inline float gelu(float x) { return 0.5f * x * ::erfcf(-x * kInverseSqrt2); }
QUANTO_HOST_DEVICE inline float geluGrad(float x) {
  return 0.5f * ::erfcf(-x * kInverseSqrt2) + x * kInverseSqrt2Pi * ::expf(-0.5f * x * x);
}
// 0.5 (1 + tanh(u)) = sigmoid(2u)
QUANTO_HOST_DEVICE inline float geluTanh(float x) { return x * sigmoid(2 * kSqrt2OverPi * (x + kGeluCubic * x * x * x)); }
QUANTO_HOST_DEVICE inline float geluTanhGrad(float x) {
  const float u = 2 * kSqrt2OverPi * (x + kGeluCubic * x * x * x), s = sigmoid(u);
  return s + x * s * sigmoid(-u) * 2 * kSqrt2OverPi * (1 + 3 * kGeluCubic * x * x);
}

}  // namespace quanto::math
