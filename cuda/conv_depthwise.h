// Convolutions of one input channel a group.
#pragma once

#include "conv_finish.h"
#include "conv_shape.h"
#include "queue.h"

namespace quanto::cuda {

QUANTO_DEVICE inline float addProduct(float a, float b, float sum) { return multiplyAdd(a, b, sum); }
QUANTO_DEVICE inline int addProduct(int a, int b, int sum) { return a * b + sum; }

// A thread for each output; neighbours read neighbours, which the cache serves. value(place in src) and weight(place) give a Sum.
template <class Sum, class Value, class Weight>
void convolveDepthwise(Issue& issue, const ConvShape& shape, const Value& value, const Weight& weight, const ConvFinish& finish) {
  issue.forEach(shape.images * shape.channels() * shape.outPixels(), [=] QUANTO_DEVICE(int64_t i) {
    const Window& window = shape.window;
    const int64_t pixel = i % shape.outPixels(), plane = i / shape.outPixels(), channel = plane % shape.channels();
    const int64_t source = (plane / shape.channels() * shape.groups + channel / shape.outChannels) * shape.pixels();
    const int64_t firstRow = shape.firstRow(pixel), firstColumn = shape.firstColumn(pixel);
    int64_t tap = channel * shape.taps();
    Sum sum = 0;
    for (int64_t ky = 0; ky < window.kernel[0]; ++ky) {
      const int64_t y = firstRow + ky * window.dilation[0];
      for (int64_t kx = 0; kx < window.kernel[1]; ++kx, ++tap) {
        const int64_t x = firstColumn + kx * window.dilation[1];
        if (shape.isInside(y, x)) sum = addProduct(value(source + y * shape.width + x), weight(tap), sum);
      }
    }
    finish.store(finish.channel<Sum>(channel), i, sum);
  });
}

}  // namespace quanto::cuda
