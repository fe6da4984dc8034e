// Sizes of a 2-D convolution or pool, and the walk over the pairs of input and output rows that one tap of the kernel joins.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../backend.h"

namespace quanto::cpu {

struct ConvShape {
  int64_t images, groups;
  int64_t inChannels, outChannels;  // of one group
  int64_t height, width, outHeight, outWidth;
  Window window;

  ConvShape(const View& src, const View& out, const Window& window)
      : images(src.shape[0]),
        groups(window.groups),
        inChannels(src.shape[1] / window.groups),
        outChannels(out.shape[1] / window.groups),
        height(src.shape[2]),
        width(src.shape[3]),
        outHeight(out.shape[2]),
        outWidth(out.shape[3]),
        window(window) {}

  int64_t taps() const { return window.kernel[0] * window.kernel[1]; }
  int64_t pixels() const { return height * width; }
  int64_t outPixels() const { return outHeight * outWidth; }
  // Values of src that make one value of out.
  int64_t patch() const { return inChannels * taps(); }
  // One input channel a group: too little for a matrix product.
  bool isDepthwise() const { return inChannels == 1 && groups > 1; }
  // A kernel of one tap that visits every pixel: src is its own matrix of patches.
  bool isPointwise() const {
    return taps() == 1 && window.stride[0] == 1 && window.stride[1] == 1 && window.padding[0] == 0 && window.padding[1] == 0;
  }
  // Whether a convolution without further steps is computed as a matrix product, or by the depthwise loops, and not directly: a pointwise
  // one is a product as it is, and very small outputs would leave most lanes of a vector empty.
  bool isProduct() const {
    constexpr int64_t kFewPixels = 6;
    return (isPointwise() && !isDepthwise()) || outPixels() < kFewPixels;
  }
};

// Output positions of [begin, end) whose input position, position * stride + shift, lies in [0, size).
struct Span {
  int64_t begin, end;

  Span(int64_t first, int64_t last, int64_t stride, int64_t shift, int64_t size) {
    begin = std::clamp<int64_t>(shift < 0 ? (-shift + stride - 1) / stride : 0, first, last);
    end = std::clamp<int64_t>(shift < size ? (size - 1 - shift) / stride + 1 : 0, begin, last);
  }
};

// body(y, x, n, inputY, inputX) for the rows [firstRow, lastRow) of the output that tap (ky, kx) reaches: n output values from (y, x) on
// read the input from (inputY, inputX) on, window.stride[1] apart.
template <class Body>
void forEachTapRow(const ConvShape& shape, int64_t ky, int64_t kx, int64_t firstRow, int64_t lastRow, Body&& body) {
  const Window& w = shape.window;
  const int64_t shiftY = ky * w.dilation[0] - w.padding[0], shiftX = kx * w.dilation[1] - w.padding[1];
  const Span rows(firstRow, lastRow, w.stride[0], shiftY, shape.height), columns(0, shape.outWidth, w.stride[1], shiftX, shape.width);
  if (columns.begin == columns.end) return;
  for (int64_t y = rows.begin; y < rows.end; ++y) {
    body(y, columns.begin, columns.end - columns.begin, y * w.stride[0] + shiftY, columns.begin * w.stride[1] + shiftX);
  }
}

}  // namespace quanto::cpu
