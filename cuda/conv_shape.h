// Sizes of a 2-D convolution, and where its inputs lie.
#pragma once

#include "device.h"

namespace quanto::cuda {

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

  QUANTO_HOST_DEVICE int64_t taps() const { return window.kernel[0] * window.kernel[1]; }
  QUANTO_HOST_DEVICE int64_t pixels() const { return height * width; }
  QUANTO_HOST_DEVICE int64_t outPixels() const { return outHeight * outWidth; }
  QUANTO_HOST_DEVICE int64_t patch() const { return inChannels * taps(); }
  QUANTO_HOST_DEVICE int64_t channels() const { return groups * outChannels; }
  // One input channel a group: too little for a matrix product.
  bool isDepthwise() const { return inChannels == 1 && groups > 1; }

  // Row and column that tap (0, 0) of output pixel `p` reads; negative in the padding.
  QUANTO_DEVICE int64_t firstRow(int64_t p) const { return p / outWidth * window.stride[0] - window.padding[0]; }
  QUANTO_DEVICE int64_t firstColumn(int64_t p) const { return p % outWidth * window.stride[1] - window.padding[1]; }
  QUANTO_DEVICE bool isInside(int64_t y, int64_t x) const { return y >= 0 && y < height && x >= 0 && x < width; }

  // Where output pixel `p` finds the value of `channel, tap` in its group's planes; -1 in the padding.
  QUANTO_DEVICE int64_t inputPlace(int64_t channelTap, int64_t p) const {
    const int64_t tap = channelTap % taps(), channel = channelTap / taps();
    const int64_t y = firstRow(p) + tap / window.kernel[1] * window.dilation[0];
    const int64_t x = firstColumn(p) + tap % window.kernel[1] * window.dilation[1];
    return isInside(y, x) ? channel * pixels() + y * width + x : -1;
  }

  // The reverse: which output pixel reads input pixel `p` through `tap`; -1 if none.
  QUANTO_DEVICE int64_t outputPlace(int64_t tap, int64_t p) const {
    const int64_t y = p / width + window.padding[0] - tap / window.kernel[1] * window.dilation[0];
    const int64_t x = p % width + window.padding[1] - tap % window.kernel[1] * window.dilation[1];
    if (y < 0 || x < 0 || y % window.stride[0] != 0 || x % window.stride[1] != 0) return -1;
    const int64_t outY = y / window.stride[0], outX = x / window.stride[1];
    return outY >= outHeight || outX >= outWidth ? -1 : outY * outWidth + outX;
  }
};

}  // namespace quanto::cuda
