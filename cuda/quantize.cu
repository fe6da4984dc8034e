#include "../csrc/scalar_math.h"
#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

Status quantize(Queue* queue, const View* src, const View* scale, const View* out) {
  Issue issue(queue);
  const auto loop = makeLoop({out, src, scale});
  const Operand values(*src), scales(*scale), codes(*out);
  const bool realCodes = isReal(codes.dtype);
  const float low = codes.dtype == DType::int8 ? -128.0f : 0.0f, high = codes.dtype == DType::int8 ? 127.0f : 255.0f;
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[3];
    loop.place(i, at);
    const float divisor = scales.get(at[2]), exact = values.get(at[1]) / divisor;
    // A scale of 0 belongs to an all-zero channel: its codes are 0, infinities included. So is the code of NaN.
    float quotient = divisor == 0 || exact != exact ? 0.0f : exact;
    // The original divides in the dtype of src, so the quotient of a narrow one is rounded before it is rounded to an integer.
    if (values.dtype != DType::float32) quotient = rounded(quotient, values.dtype);
    if (!realCodes) {
      quotient = math::roundEven(quotient < low ? low : quotient > high ? high : quotient);
      quotient = quotient < low ? low : quotient > high ? high : quotient;
    }
    codes.set(at[0], quotient);
  });
  return issue.finish();
}

Status dequantize(Queue* queue, const View* codes, const View* scale, const View* out) {
  // The product of a code and a scale in float32 is exact for the narrow dtypes, so one rounding to out's dtype is the only one.
  return binary(queue, static_cast<int32_t>(BinaryOp::mul), scale, codes, out);
}

}  // namespace quanto::cuda
