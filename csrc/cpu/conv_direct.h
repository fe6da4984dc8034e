// Direct convolution: every output is summed in registers over its whole patch, whose elements are read where the padded image holds them;
// narrow images, whose rows do not fill a vector, are unrolled into patches first. Scale, bias, batch norm, addend, activation and
// quantization follow before the sums leave their registers, so no intermediate tensor is written.
#pragma once

#include "conv_kernel.h"
#include "conv_shape.h"

namespace quanto::cpu {

// What src holds, and what becomes of it.
enum class ConvInput { real, quantized, codes };

struct DirectConv {
  const ConvShape& shape;
  const ConvKernel& kernel;
  ConvInput input;
  float srcScale;  // of quantized input
  const View& src;
  ConvFinish finish;  // out, codes and planeStride are set here, from `out`
  Activation activation;
  const View& out;

  // Whether an element holds neighbouring taps of the group's only channel, and not neighbouring channels of one tap.
  bool byTaps() const;
  int64_t blocks() const;                                                             // elements across the channels of a group
  int64_t columns() const;                                                            // elements across a row of the kernel
  int64_t elements() const { return blocks() * shape.window.kernel[0] * columns(); }  // of a patch
};

// Panels of packed codes (conv_pack.h), and the scale of each output channel.
struct PackedCodes {
  const int8_t* panels = nullptr;
  const float* scale = nullptr;
};

// Weights as the kernel reads them, elements in the order [block][row][column]: panels of kConvPanel output channels, zero padded, or rows
// (conv_kernel.h); or, for a float kernel, panels of packed codes, which are widened here. All are null when out of memory.
struct ConvWeights {
  const uint32_t* weights = nullptr;
  const int32_t* start = nullptr;  // null, or what integer sums start with, for each output channel
  bool inRows = false;
  PackedCodes packed{};
};

Status convolveDirectly(const DirectConv& conv, const ConvWeights& weights);

inline int64_t convPanels(int64_t outChannels) { return (outChannels + kConvPanel - 1) / kConvPanel; }

}  // namespace quanto::cpu
