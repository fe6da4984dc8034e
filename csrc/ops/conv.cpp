#include "conv.h"

#include "conv_shape.h"

namespace quanto::ops {

namespace {

// A tensor that must have the output's shape, 3-D or 4-D as the input is.
Tensor gradientOf(const char* op, const Tensor& dout, const Shape& srcShape, const Shape& expected) {
  requireShape(op, "output gradient", dout, withImageSize(srcShape, expected[1], expected[2], expected[3]));
  return imagesOf(op, "output gradient", dout);
}

Shape poolShape(const char* op, const Shape& image, const Window& window) {
  return {image[0], image[1], windowCount(op, window, 0, image[2]), windowCount(op, window, 1, image[3])};
}

}  // namespace

Tensor conv2d(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias, const Shape& stride, const Shape& padding,
              const Shape& dilation, int64_t groups) {
  const Tensor images = imagesOf("conv2d", "input", src);
  requireDType("conv2d", "weight", weight, src.dtype());
  const ConvShape shape = convShape("conv2d", src.shape(), weight.shape(), stride, padding, dilation, groups);
  if (bias) requireShape("conv2d", "bias", *bias, {shape.out[1]});
  const Tensor dst = empty(withImageSize(src.shape(), shape.out[1], shape.out[2], shape.out[3]), src);
  const Tensor offsets = bias ? contiguous(cast(*bias, src.dtype())) : Tensor();
  launch<&Backend::conv2d>("conv2d", flopsCost(shape.flops()), in(images), in(contiguous(weight)), in(offsets),
                           out(asImages(dst, shape.out)), block(shape.window));
  return dst;
}

Tensor conv2dBackwardInput(const Tensor& dout, const Tensor& weight, const Shape& srcShape, const Shape& stride, const Shape& padding,
                           const Shape& dilation, int64_t groups) {
  const char* op = "conv2dBackwardInput";
  const ConvShape shape = convShape(op, srcShape, weight.shape(), stride, padding, dilation, groups);
  const Tensor gradient = gradientOf(op, dout, srcShape, shape.out);
  requireDType(op, "weight", weight, dout.dtype());
  const Tensor dsrc = empty(srcShape, dout);
  launch<&Backend::conv2dBackwardInput>(op, flopsCost(shape.flops()), in(gradient), in(contiguous(weight)), out(asImages(dsrc, shape.src)),
                                        block(shape.window));
  return dsrc;
}

Tensor conv2dBackwardWeight(const Tensor& dout, const Tensor& src, const Shape& weightShape, const Shape& stride, const Shape& padding,
                            const Shape& dilation, int64_t groups) {
  const char* op = "conv2dBackwardWeight";
  const ConvShape shape = convShape(op, src.shape(), weightShape, stride, padding, dilation, groups);
  const Tensor gradient = gradientOf(op, dout, src.shape(), shape.out);
  requireDType(op, "input", src, dout.dtype());
  const Tensor dweight = empty(weightShape, src);
  launch<&Backend::conv2dBackwardWeight>(op, flopsCost(shape.flops()), in(gradient), in(imagesOf(op, "input", src)), out(dweight),
                                         block(shape.window));
  return dweight;
}

std::vector<Tensor> maxPool2d(const Tensor& src, const Shape& kernel, const Shape& stride, const Shape& padding, const Shape& dilation) {
  const Tensor images = imagesOf("maxPool2d", "input", src);
  const Window window = poolWindowOf("maxPool2d", images.shape(), kernel, stride, padding, dilation);
  const Shape shape = poolShape("maxPool2d", images.shape(), window);
  const Shape result = withImageSize(src.shape(), shape[1], shape[2], shape[3]);
  const Tensor dst = empty(result, src), indices = empty(result, DType::int64, src.device());
  const double cost = flopsCost(20.0 * static_cast<double>(dst.numel()) * static_cast<double>(window.kernel[0] * window.kernel[1]));
  launch<&Backend::maxPool2d>("maxPool2d", cost, in(images), out(asImages(dst, shape)), out(asImages(indices, shape)), block(window));
  return {dst, indices};
}

Tensor maxPool2dBackward(const Tensor& dout, const Tensor& indices, const Shape& srcShape) {
  const char* op = "maxPool2dBackward";
  const Shape shape = imageShapeOf(op, "an input", srcShape);
  const Tensor gradient = imagesOf(op, "output gradient", dout);
  requireDType(op, "indices", indices, DType::int64);
  requireShape(op, "indices", indices, dout.shape());
  if (dout.ndim() != srcShape.size() || gradient.dim(0) != shape[0] || gradient.dim(1) != shape[1])
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected an output gradient with the batch and channels of ", srcShape.str(), " but got ",
         dout.shape().str());
  const Tensor dsrc = empty(srcShape, dout);
  launch<&Backend::maxPool2dBackward>(op, mathCost(dsrc.numel()), in(gradient), in(asImages(contiguous(indices), gradient.shape())),
                                      out(asImages(dsrc, shape)));
  return dsrc;
}

Tensor avgPool2d(const Tensor& src, const Shape& kernel, const Shape& stride, const Shape& padding, bool countIncludePad) {
  const Tensor images = imagesOf("avgPool2d", "input", src);
  const Window window = poolWindowOf("avgPool2d", images.shape(), kernel, stride, padding, {1, 1});
  const Shape shape = poolShape("avgPool2d", images.shape(), window);
  const Tensor dst = empty(withImageSize(src.shape(), shape[1], shape[2], shape[3]), src);
  const double cost = flopsCost(20.0 * static_cast<double>(dst.numel()) * static_cast<double>(window.kernel[0] * window.kernel[1]));
  launch<&Backend::avgPool2d>("avgPool2d", cost, in(images), out(asImages(dst, shape)), block(window),
                              static_cast<int32_t>(countIncludePad));
  return dst;
}

Tensor avgPool2dBackward(const Tensor& dout, const Shape& srcShape, const Shape& kernel, const Shape& stride, const Shape& padding,
                         bool countIncludePad) {
  const char* op = "avgPool2dBackward";
  const Shape image = imageShapeOf(op, "an input", srcShape);
  const Window window = poolWindowOf(op, image, kernel, stride, padding, {1, 1});
  const Tensor gradient = gradientOf(op, dout, srcShape, poolShape(op, image, window));
  const Tensor dsrc = empty(srcShape, dout);
  const double cost = flopsCost(20.0 * static_cast<double>(dout.numel()) * static_cast<double>(window.kernel[0] * window.kernel[1]));
  launch<&Backend::avgPool2dBackward>(op, cost, in(gradient), out(asImages(dsrc, image)), block(window),
                                      static_cast<int32_t>(countIncludePad));
  return dsrc;
}

Tensor adaptiveAvgPool2d(const Tensor& src, const Shape& outputSize) {
  const char* op = "adaptiveAvgPool2d";
  const Tensor images = imagesOf(op, "input", src);
  requireImage(op, images.shape());
  if (outputSize.size() != 2 || outputSize[0] < 1 || outputSize[1] < 1)
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected an output size of two numbers of at least 1 but got ", outputSize.str());
  const Shape shape = {images.dim(0), images.dim(1), outputSize[0], outputSize[1]};
  const Tensor dst = empty(withImageSize(src.shape(), shape[1], shape[2], shape[3]), src);
  launch<&Backend::adaptiveAvgPool2d>(op, mathCost(src.numel() + dst.numel()), in(images), out(asImages(dst, shape)));
  return dst;
}

Tensor adaptiveAvgPool2dBackward(const Tensor& dout, const Shape& srcShape) {
  const char* op = "adaptiveAvgPool2dBackward";
  const Shape image = imageShapeOf(op, "an input", srcShape);
  requireImage(op, image);
  const Tensor gradient = imagesOf(op, "output gradient", dout);
  requireImage(op, gradient.shape());
  const Tensor dsrc = empty(srcShape, dout);
  requireShape(op, "output gradient", dout, withImageSize(srcShape, image[1], gradient.dim(2), gradient.dim(3)));
  launch<&Backend::adaptiveAvgPool2dBackward>(op, mathCost(dout.numel() + dsrc.numel()), in(gradient), out(asImages(dsrc, image)));
  return dsrc;
}

}  // namespace quanto::ops
