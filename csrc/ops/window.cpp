#include "window.h"

namespace quanto::ops {

namespace {

// With all numbers below 2^31, products of two stay below 2^62.
constexpr int64_t kLargest = (int64_t{1} << 31) - 1;

void takePair(const char* op, const char* name, const Shape& pair, int64_t smallest, int64_t (&target)[2]) {
  if (pair.size() != 2) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected two numbers for ", name, " but got ", pair.str());
  for (int i = 0; i < 2; ++i) {
    if (pair[i] < smallest || pair[i] > kLargest)
      fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected ", name, " from ", smallest, " to ", kLargest, " but got ", pair.str());
    target[i] = pair[i];
  }
}

int64_t spanOf(const Window& window, int dim) { return window.dilation[dim] * (window.kernel[dim] - 1) + 1; }

}  // namespace

Window windowOf(const char* op, const Shape& kernel, const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups) {
  Window window{};
  takePair(op, "the kernel size", kernel, 1, window.kernel);
  takePair(op, "the stride", stride, 1, window.stride);
  takePair(op, "the padding", padding, 0, window.padding);
  takePair(op, "the dilation", dilation, 1, window.dilation);
  window.groups = groups;
  return window;
}

Window poolWindowOf(const char* op, const Shape& imageShape, const Shape& kernel, const Shape& stride, const Shape& padding,
                    const Shape& dilation) {
  requireImage(op, imageShape);
  const Window window = windowOf(op, kernel, stride, padding, dilation);
  for (int dim = 0; dim < 2; ++dim) {
    const int64_t size = imageShape[2 + dim], step = window.dilation[dim];
    windowCount(op, window, dim, size);
    if (window.padding[dim] > window.kernel[dim] / 2)
      fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected a padding of at most half the kernel size but got ", padding.str(), " for ",
           kernel.str());
    if (step <= size) continue;
    // A window that begins in the padding may step over the image.
    for (int64_t start = -window.padding[dim]; start < 0; start += window.stride[dim])
      if (start + (-start + step - 1) / step * step >= size)
        fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected every window to meet the image ", imageShape.str(), " but padding ",
             padding.str(), " and dilation ", dilation.str(), " leave one outside; reduce one of them");
  }
  return window;
}

void requireImage(const char* op, const Shape& image) {
  if (image[2] == 0 || image[3] == 0) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected images of at least 1 x 1 but got ", image.str());
}

Shape imageShapeOf(const char* op, const char* name, const Shape& shape) {
  if (shape.size() != 3 && shape.size() != 4)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected ", name, " [N, C, H, W] or [C, H, W] but got ", shape.str());
  checkSize(op, shape);
  return shape.size() == 4 ? shape : Shape{1, shape[0], shape[1], shape[2]};
}

Tensor imagesOf(const char* op, const char* name, const Tensor& tensor) {
  requireReal(op, name, tensor);
  requireStrided(op, tensor);
  const Shape shape = imageShapeOf(op, name, tensor.shape());
  return contiguous(tensor).as(shape, contiguousStrides(shape));
}

Shape withImageSize(Shape shape, int64_t channels, int64_t height, int64_t width) {
  const int first = shape.size() - 3;
  shape[first] = channels;
  shape[first + 1] = height;
  shape[first + 2] = width;
  return shape;
}

int64_t windowCount(const char* op, const Window& window, int dim, int64_t size) {
  const int64_t span = spanOf(window, dim), padded = size + 2 * window.padding[dim];
  if (span > padded)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a padded image of at least ", span, " along its ", dim == 0 ? "height" : "width",
         " but got ", padded, "; add padding or use a smaller kernel or dilation");
  return (padded - span) / window.stride[dim] + 1;
}

}  // namespace quanto::ops
