#include "conv_fused.h"

#include "binary.h"
#include "conv.h"
#include "conv_shape.h"
#include "norm.h"
#include "quantize.h"
#include "shape.h"
#include "unary.h"

namespace quanto::ops {

namespace {

// What follows a convolution, as kernels take it: empty tensors where there is none.
struct Steps {
  Tensor normScale, normShift, addend;
  Activation activation;
};

// The operands of a batch norm, of which mean and variance are given together.
struct Norm {
  const std::optional<Tensor>&mean, &variance, &weight, &bias;
  double eps;
};

Steps stepsOf(const char* op, const ConvShape& shape, const Shape& outShape, const Norm& norm, const std::optional<Tensor>& addend,
              int64_t activation) {
  Steps steps{};
  if (norm.mean.has_value() != norm.variance.has_value())
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected mean and variance together but got only one of them");
  if (!norm.mean && (norm.weight || norm.bias))
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected mean and variance beside the weight or bias of a norm");
  if (norm.mean) {
    requireShape(op, "mean", *norm.mean, {shape.out[1]});
    ChannelAffine affine = batchNormAffine(op, *norm.mean, *norm.variance, norm.weight, norm.bias, norm.eps);
    steps.normScale = std::move(affine.scale);
    steps.normShift = std::move(affine.shift);
  }
  if (addend) {
    requireDType(op, "addend", *addend, DType::float32);
    requireStrided(op, *addend);
    requireShape(op, "addend", *addend, outShape);
    steps.addend = contiguous(*addend);
  }
  steps.activation = static_cast<Activation>(requireActivation(op, activation));
  return steps;
}

UnaryOp functionOf(Activation activation) {
  constexpr UnaryOp kFunctions[] = {UnaryOp::relu, UnaryOp::relu, UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::silu};
  return kFunctions[static_cast<int>(activation)];
}

// The steps one by one.
Tensor take(const Steps& steps, Tensor values) {
  if (steps.normScale) values = scaleShift(values, steps.normScale, steps.normShift, 2);
  if (steps.addend) values = binaryOf(BinaryOp::add, values, steps.addend);
  return steps.activation == Activation::none ? values : unary(static_cast<int64_t>(functionOf(steps.activation)), values, 0, 0);
}

Shape outputShape(const Tensor& src, const ConvShape& shape) {
  return withImageSize(src.shape(), shape.out[1], shape.out[2], shape.out[3]);
}

// One number or one for each output channel, side by side.
Tensor scaleOfChannels(const char* op, const ConvShape& shape, const Tensor& scale) {
  if (scale.numel() != 1 && scale.numel() != shape.out[1])
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected one weight scale or ", shape.out[1], " but got shape ", scale.shape().str());
  return contiguous(reshape(scale, {scale.numel()}));
}

Tensor dequantized(const Tensor& weight, const Tensor& flatScale) {
  return dequantize(weight, reshape(flatScale, {flatScale.numel(), 1, 1, 1}));
}

In images4d(const Tensor& tensor, const ConvShape& shape) { return in(tensor ? asImages(tensor, shape.out) : tensor); }
In biasOf(const std::optional<Tensor>& bias, DType dtype) { return in(bias ? contiguous(cast(*bias, dtype)) : Tensor()); }

}  // namespace

Tensor conv2dFused(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias, const std::optional<Tensor>& mean,
                   const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight, const std::optional<Tensor>& normBias,
                   double eps, const std::optional<Tensor>& addend, const Shape& stride, const Shape& padding, const Shape& dilation,
                   int64_t groups, int64_t activation) {
  const char* op = "conv2dFused";
  requireDType(op, "input", src, DType::float32);
  requireDType(op, "weight", weight, DType::float32);
  const Tensor images = imagesOf(op, "input", src);
  const ConvShape shape = convShape(op, src.shape(), weight.shape(), stride, padding, dilation, groups);
  if (bias) requireShape(op, "bias", *bias, {shape.out[1]});
  const Shape result = outputShape(src, shape);
  const Steps steps = stepsOf(op, shape, result, {mean, variance, normWeight, normBias, eps}, addend, activation);
  if (!src.device().backend.conv2dFused) return take(steps, conv2d(src, weight, bias, stride, padding, dilation, groups));
  const Tensor dst = empty(result, src);
  launch<&Backend::conv2dFused>(op, flopsCost(shape.flops()), in(images), in(contiguous(weight)), biasOf(bias, DType::float32),
                                in(steps.normScale), in(steps.normShift), images4d(steps.addend, shape), out(asImages(dst, shape.out)),
                                block(shape.window), static_cast<int32_t>(steps.activation));
  return dst;
}

Tensor conv2dWeightOnly(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                        const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight,
                        const std::optional<Tensor>& normBias, double eps, const std::optional<Tensor>& addend, const Shape& stride,
                        const Shape& padding, const Shape& dilation, int64_t groups, int64_t activation) {
  const char* op = "conv2dWeightOnly";
  requireDType(op, "input", src, DType::float32);
  requireDType(op, "weight codes", weight, DType::int8);
  requireDType(op, "weight scale", scale, DType::float32);
  const Tensor images = imagesOf(op, "input", src);
  const ConvShape shape = convShape(op, src.shape(), weight.shape(), stride, padding, dilation, groups);
  if (bias) requireShape(op, "bias", *bias, {shape.out[1]});
  const Tensor flatScale = scaleOfChannels(op, shape, scale);
  const Shape result = outputShape(src, shape);
  const Steps steps = stepsOf(op, shape, result, {mean, variance, normWeight, normBias, eps}, addend, activation);
  if (!src.device().backend.conv2dWeightOnly)
    return take(steps, conv2d(src, dequantized(weight, flatScale), bias, stride, padding, dilation, groups));
  const Tensor dst = empty(result, src);
  launch<&Backend::conv2dWeightOnly>(op, flopsCost(shape.flops()), in(images), in(packedOrContiguous(weight)), in(flatScale),
                                     biasOf(bias, DType::float32), in(steps.normScale), in(steps.normShift), images4d(steps.addend, shape),
                                     out(asImages(dst, shape.out)), block(shape.window), static_cast<int32_t>(steps.activation));
  return dst;
}

Tensor conv2dInt8(const Tensor& src, const Tensor& srcScale, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                  const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, const std::optional<Tensor>& normWeight,
                  const std::optional<Tensor>& normBias, double eps, const std::optional<Tensor>& addend,
                  const std::optional<Tensor>& outScale, const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups,
                  int64_t activation) {
  const char* op = "conv2dInt8";
  requireStrided(op, src);
  requireDType(op, "weight codes", weight, DType::int8);
  requireReal(op, "weight scale", scale);
  requireOne(op, "input scale", srcScale);
  if (outScale) requireOne(op, "output scale", *outScale);
  const ConvShape shape = convShape(op, src.shape(), weight.shape(), stride, padding, dilation, groups);
  if (bias) requireShape(op, "bias", *bias, {shape.out[1]});
  const Shape result = outputShape(src, shape);
  const Steps steps = stepsOf(op, shape, result, {mean, variance, normWeight, normBias, eps}, addend, activation);
  const Tensor flatScale = scaleOfChannels(op, shape, scale);

  // The kernel divides in float32; other dtypes have a rounding of their own.
  if (src.dtype() != DType::int8) requireReal(op, "input", src);
  const bool quantizes = src.dtype() != DType::int8 && (src.dtype() != DType::float32 || !src.device().backend.conv2dInt8);
  const Tensor codes = quantizes ? quantize(src, cast(srcScale, src.dtype()), DType::int8) : src;
  if (!src.device().backend.conv2dInt8) {
    const Tensor source = dequantize(codes, cast(srcScale, scale.dtype()));
    const Tensor values = conv2d(source, dequantized(weight, flatScale), bias, stride, padding, dilation, groups);
    const Tensor taken = take(steps, values);
    return outScale ? quantize(taken, cast(*outScale, taken.dtype()), DType::int8) : cast(taken, scale.dtype());
  }
  const Tensor dst = empty(result, outScale ? DType::int8 : scale.dtype(), src.device());
  launch<&Backend::conv2dInt8>(op, flopsCost(shape.flops()) / 4, in(asImages(contiguous(codes), shape.src)), in(atLeast1d(srcScale)),
                               in(packedOrContiguous(weight)), in(flatScale), biasOf(bias, scale.dtype()), in(steps.normScale),
                               in(steps.normShift), images4d(steps.addend, shape), out(asImages(dst, shape.out)),
                               in(outScale ? atLeast1d(*outScale) : Tensor()), block(shape.window), static_cast<int32_t>(steps.activation));
  return dst;
}

Tensor packConvWeight(const Tensor& src) {
  checkSize("packWeight", src.shape());
  const auto& backend = src.device().backend;
  if (src.packed() || src.numel() == 0 || !backend.packedConvBytes || src.dim(1) < 2) return src;
  const int64_t bytes = static_cast<int64_t>(backend.packedConvBytes(src.dim(0), src.dim(1), src.dim(2) * src.dim(3)));
  const Tensor dst = empty({bytes}, DType::uint8, src.device());
  launch<&Backend::packConvWeight>("packWeight", bytesCost(2 * bytes), in(contiguous(src)), out(dst));
  return dst.asPacked(src.shape());
}

Tensor unpackConvWeight(const Tensor& src) {
  const Tensor dst = empty(src.shape(), DType::int8, src.device());
  launch<&Backend::unpackConvWeight>("unpackWeight", bytesCost(2 * dst.bytes()), in(src), out(dst));
  return dst;
}

}  // namespace quanto::ops
