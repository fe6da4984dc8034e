#pragma once

#include <vector>

#include "common.h"

namespace quanto::ops {

// Convolutions and what evaluation does next, in this order, in one pass over memory: a batch norm (batchNorm's operands, [O]; mean and
// variance both or none), + addend (of the output's shape), activation (an Activation). Devices without such a kernel take the steps one by
// one.

// All float32 but the norm's operands.
Tensor conv2dFused(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& mean,
                   const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight, const std::optional<Tensor>& normBias,
                   double eps, const std::optional<Tensor>& addend, const Shape& stride, const Shape& padding, const Shape& dilation,
                   int64_t groups, int64_t activation);
// The same with a weight of int8 codes, dense or packed, and its scale: one number or one for each output channel.
Tensor conv2dWeightOnly(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                        const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight,
                        const std::optional<Tensor>& normBias, double eps, const std::optional<Tensor>& addend, const Shape& stride,
                        const Shape& padding, const Shape& dilation, int64_t groups, int64_t activation);
// Exact sums of int8 codes, times (srcScale * scale), plus bias. src is int8, or floats that are quantized with srcScale first; scale has
// one number or one for each output channel. The result has scale's dtype, or is int8 where it is quantized with outScale at the end.
Tensor conv2dInt8(const Tensor& src, const Tensor& srcScale, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                  const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight,
                  const std::optional<Tensor>& normBias, double eps, const std::optional<Tensor>& addend,
                  const std::optional<Tensor>& outScale, const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups,
                  int64_t activation);

// packWeight and unpackWeight of int8 [O, C / groups, kh, kw]. A weight of one channel a group stays row-major.
Tensor packConvWeight(const Tensor& src);
Tensor unpackConvWeight(const Tensor& src);

}  // namespace quanto::ops
