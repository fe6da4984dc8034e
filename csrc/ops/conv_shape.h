#pragma once

#include "window.h"

namespace quanto::ops {

// The sizes of a convolution, checked.
struct ConvShape {
  Shape src, weight, out;  // 4-D
  Window window;
  double flops() const {
    double count = 2;
    for (int64_t dim : out) count *= static_cast<double>(dim);
    for (int i = 1; i < 4; ++i) count *= static_cast<double>(weight[i]);
    return count;
  }
};

ConvShape convShape(const char* op, const Shape& src, const Shape& weight, const Shape& stride, const Shape& padding, const Shape& dilation,
                    int64_t groups);

// The row-major tensor itself as the 4-D view that kernels write.
inline Tensor asImages(const Tensor& dst, const Shape& shape) { return dst.as(shape, contiguousStrides(shape)); }

}  // namespace quanto::ops
