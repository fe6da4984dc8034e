#pragma once

#include "common.h"

namespace quanto::ops {

// A row of unary.def over every element, by its number; a and b are the row's attributes.
Tensor unary(int64_t op, const Tensor& src, double a, double b);

}  // namespace quanto::ops
