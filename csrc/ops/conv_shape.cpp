#include "conv_shape.h"

namespace quanto::ops {

ConvShape convShape(const char* op, const Shape& src, const Shape& weight, const Shape& stride, const Shape& padding, const Shape& dilation,
                    int64_t groups) {
  if (weight.size() != 4) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a weight [O, C / groups, kh, kw] but got ", weight.str());
  checkSize(op, weight);
  ConvShape shape{imageShapeOf(op, "an input", src), weight, {}, {}};
  requireImage(op, shape.src);
  if (groups < 1) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected at least 1 group but got ", groups);
  const int64_t channels = shape.src[1];
  if (channels % groups != 0 || weight[0] % groups != 0 || weight[1] != channels / groups)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a weight [O, ", channels, " / groups, kh, kw] with O and ", channels,
         " divisible by groups = ", groups, " but got ", weight.str());
  shape.window = windowOf(op, {weight[2], weight[3]}, stride, padding, dilation, groups);
  const int64_t height = windowCount(op, shape.window, 0, shape.src[2]), width = windowCount(op, shape.window, 1, shape.src[3]);
  shape.out = {shape.src[0], weight[0], height, width};
  return shape;
}

}  // namespace quanto::ops
