#pragma once

#include <vector>

#include "common.h"

namespace quanto::ops {

// Images are [N, C, H, W], or [C, H, W] for a batch of one. Kernel sizes, strides, paddings and dilations are pairs, height first.

// weight [O, C / groups, kh, kw], bias [O]
Tensor conv2d(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias, const Shape& stride, const Shape& padding,
              const Shape& dilation, int64_t groups);
Tensor conv2dBackwardInput(const Tensor& dout, const Tensor& weight, const Shape& srcShape, const Shape& stride, const Shape& padding,
                           const Shape& dilation, int64_t groups);
Tensor conv2dBackwardWeight(const Tensor& dout, const Tensor& src, const Shape& weightShape, const Shape& stride, const Shape& padding,
                            const Shape& dilation, int64_t groups);

// Returns out, and the int64 position of each maximum in its H x W plane.
std::vector<Tensor> maxPool2d(const Tensor& src, const Shape& kernel, const Shape& stride, const Shape& padding, const Shape& dilation);
Tensor maxPool2dBackward(const Tensor& dout, const Tensor& indices, const Shape& srcShape);
// Padding counts in the divisor when countIncludePad is set.
Tensor avgPool2d(const Tensor& src, const Shape& kernel, const Shape& stride, const Shape& padding, bool countIncludePad);
Tensor avgPool2dBackward(const Tensor& dout, const Shape& srcShape, const Shape& kernel, const Shape& stride, const Shape& padding,
                         bool countIncludePad);
// To a fixed output size, by windows that PyTorch defines: from floor(i * H / h) to ceil((i + 1) * H / h).
Tensor adaptiveAvgPool2d(const Tensor& src, const Shape& outputSize);
Tensor adaptiveAvgPool2dBackward(const Tensor& dout, const Shape& srcShape);

}  // namespace quanto::ops
