#pragma once

#include "common.h"

namespace quanto::ops {

// Folds the given axes (none given: all) with the ReduceOp numbered `op`; keepdim leaves them with size 1. Sums of integers and bool are
// int64, their mean, var and logsumexp float32; any and all are bool. Extremes of nothing throw; the sum of nothing is 0, its mean NaN.
// `correction` is var's: it divides by count - correction.
Tensor reduce(int64_t op, const Tensor& src, const Shape& axes, bool keepdim, double correction);
// int64 index of the first largest (ReduceOp::max) or smallest (ReduceOp::min) value along an axis; NaN counts as extreme.
Tensor argReduce(int64_t op, const Tensor& src, int64_t axis, bool keepdim);
// Running sum along an axis; int64 for integers and bool.
Tensor cumsum(const Tensor& src, int64_t axis);

}  // namespace quanto::ops
