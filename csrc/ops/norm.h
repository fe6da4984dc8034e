#pragma once

#include <vector>

#include "common.h"

namespace quanto::ops {

// Over one axis of a floating-point tensor. The backward forms take the gradient and the forward result.
Tensor softmax(const Tensor& src, int64_t axis);
Tensor logSoftmax(const Tensor& src, int64_t axis);
Tensor softmaxBackward(const Tensor& dout, const Tensor& out, int64_t axis);
Tensor logSoftmaxBackward(const Tensor& dout, const Tensor& out, int64_t axis);

// Normalizes the last `normalizedDims` dims, whose shape weight and bias have. Returns out, and mean and rstd (float32, one for each row)
// for the backward pass.
std::vector<Tensor> layerNorm(const Tensor& src, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                              int64_t normalizedDims, double eps);
// dsrc, dweight, dbias; the last two in the weight's shape and dtype, or of shape [0] where there is no weight.
std::vector<Tensor> layerNormBackward(const Tensor& dout, const Tensor& src, const std::optional<Tensor>& weight, const Tensor& mean,
                                      const Tensor& rstd, int64_t normalizedDims);
// Over the last dim, Zhang and Sennrich 2019. Returns out and rstd.
std::vector<Tensor> rmsNorm(const Tensor& src, const std::optional<Tensor>& weight, double eps);
// dsrc, dweight
std::vector<Tensor> rmsNormBackward(const Tensor& dout, const Tensor& src, const std::optional<Tensor>& weight, const Tensor& rstd);
// Numbers of each channel, [C], float32.
struct ChannelAffine {
  Tensor scale, shift;
};
// For the ops that take a batch norm: that of one in evaluation, weight / sqrt(variance + eps), and bias - mean * scale.
ChannelAffine batchNormAffine(const char* op, const Tensor& mean, const Tensor& variance, const std::optional<Tensor>& weight,
                              const std::optional<Tensor>& bias, double eps);
// src * scale + shift of each channel ([C], float32), which `inner` dims follow: what the two are for, op by op.
Tensor scaleShift(const Tensor& src, const Tensor& scale, const Tensor& shift, int inner);
// (src - mean) / sqrt(variance + eps) * weight + bias of each channel of src [N, C, ...], as src * scale + shift with batchNormAffine's;
// all others are [C].
Tensor batchNorm(const Tensor& src, const Tensor& mean, const Tensor& variance, const std::optional<Tensor>& weight,
                 const std::optional<Tensor>& bias, double eps);
// The result quantized to int8 with one scale, in one pass where the device has it, to the bits of quantize(layerNorm(...)). scale has
// src's dtype; the statistics for a backward pass are not kept.
Tensor layerNormInt8(const Tensor& src, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, const Tensor& scale,
                     int64_t normalizedDims, double eps);
Tensor rmsNormInt8(const Tensor& src, const std::optional<Tensor>& weight, const Tensor& scale, double eps);

}  // namespace quanto::ops
