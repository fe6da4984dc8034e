// Shape rules of sliding windows, for convolutions and pools.
#pragma once

#include "common.h"

namespace quanto::ops {

// A checked window: every number is small enough that positions cannot overflow.
Window windowOf(const char* op, const Shape& kernel, const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups = 1);
// The same for a pool, whose padding is at most half the kernel, so that every window meets the image.
Window poolWindowOf(const char* op, const Shape& imageShape, const Shape& kernel, const Shape& stride, const Shape& padding,
                    const Shape& dilation);

// [N, C, H, W] of [N, C, H, W] or [C, H, W].
Shape imageShapeOf(const char* op, const char* name, const Shape& shape);
// At least one pixel.
void requireImage(const char* op, const Shape& image);
// A row-major [N, C, H, W] form of a floating-point tensor.
Tensor imagesOf(const char* op, const char* name, const Tensor& tensor);
// `shape` with other sizes for its last dims: [C, H, W] stays 3-D.
Shape withImageSize(Shape shape, int64_t channels, int64_t height, int64_t width);

// Positions of a window along one dim (0: height, 1: width); throws where it does not fit.
int64_t windowCount(const char* op, const Window& window, int dim, int64_t size);

}  // namespace quanto::ops
