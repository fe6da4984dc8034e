#include "conv_depthwise.h"

#include "fold.h"
#include "planes.h"

namespace quanto::cpu {
namespace {

// body(tap, y, x, n, inputY, inputX) for every tap and output row.
template <class Body>
void forEachTap(const ConvShape& shape, Body&& body) {
  for (int64_t tap = 0; tap < shape.taps(); ++tap) {
    forEachTapRow(shape, tap / shape.window.kernel[1], tap % shape.window.kernel[1], 0, shape.outHeight,
                  [&](int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) { body(tap, y, x, n, inputY, inputX); });
  }
}

}  // namespace

Status convolveDepthwise(const ConvShape& shape, const View& src, const View& weight, const View* bias, const View& out) {
  const int64_t channels = shape.groups * shape.outChannels, taps = shape.taps(), stride = shape.window.stride[1];
  const PlaneReader planes(src);
  const PlaneWriter results(out);
  const Reader<float> weights(weight, 1);
  const int64_t values = planes.size() + results.size();
  return forEachPlane(shape.images * channels, results.size() * taps, values, [&](int64_t index, float* buffer) {
    const int64_t image = index / channels, channel = index % channels;
    const float* plane = planes.read(image * shape.groups + channel / shape.outChannels, buffer);
    float* sums = results.target(index, buffer + planes.size());
    std::fill_n(sums, results.size(), bias ? Reader<float>(*bias, 1).readOne(channel) : 0.0f);
    forEachTap(shape, [&](int64_t tap, int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
      const float factor = weights.readOne(channel * taps + tap);
      float* to = sums + y * shape.outWidth + x;
      const float* from = plane + inputY * shape.width + inputX;
      if (stride == 1) {
        QUANTO_VECTORIZE
        for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
      } else {
        for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i * stride];
      }
    });
    results.write(index, sums);
  });
}

Status depthwiseInputGradient(const ConvShape& shape, const View& dout, const View& weight, const View& dsrc) {
  const int64_t taps = shape.taps(), stride = shape.window.stride[1], multiplier = shape.outChannels;
  const PlaneReader slopes(dout);
  const PlaneWriter results(dsrc);
  const Reader<float> weights(weight, 1);
  const int64_t values = slopes.size() + results.size();
  return forEachPlane(shape.images * shape.groups, slopes.size() * taps * multiplier, values, [&](int64_t index, float* buffer) {
    float* sums = results.target(index, buffer);
    std::fill_n(sums, results.size(), 0.0f);
    for (int64_t out = 0; out < multiplier; ++out) {
      const float* slope = slopes.read(index * multiplier + out, buffer + results.size());
      const int64_t channel = index % shape.groups * multiplier + out;
      forEachTap(shape, [&](int64_t tap, int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
        const float factor = weights.readOne(channel * taps + tap);
        float* to = sums + inputY * shape.width + inputX;
        const float* from = slope + y * shape.outWidth + x;
        for (int64_t i = 0; i < n; ++i) to[i * stride] += factor * from[i];
      });
    }
    results.write(index, sums);
  });
}

Status depthwiseWeightGradient(const ConvShape& shape, const View& dout, const View& src, const View& dweight) {
  const int64_t channels = shape.groups * shape.outChannels, taps = shape.taps(), stride = shape.window.stride[1];
  const PlaneReader slopes(dout), planes(src);
  const Writer<float> writer(dweight, 1);
  const int64_t work = shape.images * slopes.size() * taps;
  return forEachPlane(channels, work, taps * 2 + slopes.size() + planes.size(), [&](int64_t channel, float* buffer) {
    auto* sums = reinterpret_cast<double*>(buffer);
    float* planeBuffer = buffer + 2 * taps;
    std::fill_n(sums, taps, 0.0);
    for (int64_t image = 0; image < shape.images; ++image) {
      const float* slope = slopes.read(image * channels + channel, planeBuffer);
      const float* plane = planes.read(image * shape.groups + channel / shape.outChannels, planeBuffer + slopes.size());
      forEachTap(shape, [&](int64_t tap, int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
        const float* left = slope + y * shape.outWidth + x;
        const float* right = plane + inputY * shape.width + inputX;
        sums[tap] += sumOf(n, [=](int64_t i) { return left[i] * right[i * stride]; });
      });
    }
    for (int64_t tap = 0; tap < taps; ++tap) writer.writeOne(channel * taps + tap, static_cast<float>(sums[tap]));
  });
}

}  // namespace quanto::cpu
