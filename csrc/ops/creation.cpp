#include "creation.h"

#include <algorithm>
#include <cmath>

namespace quanto::ops {

Tensor full(const Shape& shape, double value, DType dtype, Device& device) {
  const Tensor dst = empty(shape, dtype, device);
  launch<&Backend::fill>("full", bytesCost(dst.bytes()), out(dst), value);
  return dst;
}

Tensor arange(double start, double end, double step, DType dtype, Device& device) {
  if (!std::isfinite(start) || !std::isfinite(end) || !std::isfinite(step) || step == 0)
    fail(ErrorCode::INVALID_ARGUMENT, "[arange] expected finite bounds and a step other than 0 but got ", start, ", ", end, ", ", step);
  const double count = std::max(0.0, std::ceil((end - start) / step));
  if (count > 9e15) fail(ErrorCode::OUT_OF_MEMORY, "[arange] ", count, " elements are more than any memory holds");
  const Tensor dst = empty({static_cast<int64_t>(count)}, dtype, device);
  launch<&Backend::arange>("arange", bytesCost(dst.bytes()), out(dst), start, step);
  return dst;
}

Tensor eye(int64_t rows, int64_t columns, DType dtype, Device& device) {
  const Tensor dst = full({rows, columns}, 0, dtype, device);
  const Tensor diagonal = dst.as({std::min(rows, columns)}, {columns + 1});
  launch<&Backend::fill>("eye", bytesCost(diagonal.bytes()), inOut(diagonal), 1.0);
  dst.storage()->version = 0;
  return dst;
}

}  // namespace quanto::ops
