#include "backend.h"
#include "codes.h"
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
    const float quotient = codeQuotient(values.get(at[1]), scales.get(at[2]), values.dtype);
    codes.set(at[0], realCodes ? quotient : clampedCode(quotient, low, high));
  });
  return issue.finish();
}

Status dequantize(Queue* queue, const View* codes, const View* scale, const View* out) {
  // The product of a code and a scale in float32 is exact for the narrow dtypes, so one rounding to out's dtype is the only one.
  return binary(queue, static_cast<int32_t>(BinaryOp::mul), scale, codes, out);
}

}  // namespace quanto::cuda
