// Convolution whose groups have one input channel each, tap by tap.
#pragma once

#include "conv_shape.h"

namespace quanto::cpu {

Status convolveDepthwise(const ConvShape& shape, const View& src, const View& weight, const View* bias, const View& out);
Status depthwiseInputGradient(const ConvShape& shape, const View& dout, const View& weight, const View& dsrc);
Status depthwiseWeightGradient(const ConvShape& shape, const View& dout, const View& src, const View& dweight);

}  // namespace quanto::cpu
