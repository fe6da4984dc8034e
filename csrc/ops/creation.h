#pragma once

#include "common.h"

namespace quanto::ops {

Tensor full(const Shape& shape, double value, DType dtype, Device& device);
Tensor arange(double start, double end, double step, DType dtype, Device& device);
Tensor eye(int64_t rows, int64_t columns, DType dtype, Device& device);

}  // namespace quanto::ops
