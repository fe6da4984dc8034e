// Codes as the quantize slot makes them, for kernels whose results are quantized on their way out.
#pragma once

#include "../csrc/scalar_math.h"
#include "elements.h"

namespace quanto::cuda {

// value / divisor. The original divides in the dtype of the values, so the quotient of a narrow one is rounded before it becomes a code.
QUANTO_DEVICE inline float codeQuotient(float value, float divisor, DType dtype) {
  const float exact = value / divisor;
  // A scale of 0 belongs to an all-zero channel: its codes are 0, infinities included. So is the code of NaN.
  const float quotient = divisor == 0 || exact != exact ? 0.0f : exact;
  return dtype == DType::float32 ? quotient : rounded(quotient, dtype);
}

QUANTO_DEVICE inline float clampedCode(float quotient, float low, float high) {
  const float code = math::roundEven(quotient < low ? low : quotient > high ? high : quotient);
  return code < low ? low : code > high ? high : code;
}

// The int8 code of a value computed in float32 that a tensor of `dtype` would have held.
QUANTO_DEVICE inline int8_t int8Code(float value, float divisor, DType dtype) {
  const float held = dtype == DType::float32 ? value : rounded(value, dtype);
  return static_cast<int8_t>(clampedCode(codeQuotient(held, divisor, dtype), -128.0f, 127.0f));
}

}  // namespace quanto::cuda
