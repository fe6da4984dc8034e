#pragma once

#include "conv_shape.h"

namespace quanto::cpu {

// As the slots conv2dFused, conv2dWeightOnly and conv2dInt8 have them; null where there is none.
struct ConvOperands {
  const View* src = nullptr;
  const View* srcScale = nullptr;
  const View* weight = nullptr;
  const View* scale = nullptr;
  const View* bias = nullptr;
  const View* normScale = nullptr;
  const View* normShift = nullptr;
  const View* addend = nullptr;
  const View* outScale = nullptr;
};

// A direct convolution (conv_direct.h), in integers where there is a srcScale.
Status convolve(const ConvShape& shape, const ConvOperands& operands, const View& out, Activation activation);

}  // namespace quanto::cpu
