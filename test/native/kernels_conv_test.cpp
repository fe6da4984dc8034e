// Convolutions and pools against their definitions.
#include "every_isa.h"
#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(6);

int64_t outSize(int64_t size, const Window& w, int dim) {
  return (size + 2 * w.padding[dim] - w.dilation[dim] * (w.kernel[dim] - 1) - 1) / w.stride[dim] + 1;
}

struct ConvCase {
  int64_t images, inChannels, outChannels, height, width;
  Window window;
};

const ConvCase kConvCases[] = {
    {1, 1, 1, 1, 1, {{1, 1}, {1, 1}, {0, 0}, {1, 1}, 1}},    {2, 3, 4, 7, 9, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 1}},
    {2, 4, 6, 8, 5, {{1, 1}, {1, 1}, {0, 0}, {1, 1}, 2}},    {3, 4, 6, 9, 8, {{3, 2}, {2, 1}, {1, 2}, {1, 2}, 2}},
    {2, 6, 6, 9, 10, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 6}},   {2, 3, 6, 9, 10, {{2, 3}, {2, 2}, {1, 0}, {1, 2}, 3}},
    {0, 3, 4, 7, 9, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 1}},    {1, 3, 5, 20, 20, {{5, 5}, {3, 3}, {4, 4}, {2, 2}, 1}},
    {9, 16, 8, 32, 32, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 1}}, {1, 64, 8, 40, 40, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, 1}},
    {2, 2, 3, 4, 4, {{3, 3}, {1, 1}, {5, 5}, {1, 1}, 1}},    {4, 3, 8, 6, 6, {{1, 1}, {2, 2}, {0, 0}, {1, 1}, 1}},
};

void convCase(const ConvCase& c, DType dtype, bool withBias) {
  const Window& w = c.window;
  const int64_t oh = outSize(c.height, w, 0), ow = outSize(c.width, w, 1), inGroup = c.inChannels / w.groups,
                outGroup = c.outChannels / w.groups;
  Tensor src(dtype, {c.images, c.inChannels, c.height, c.width}), weight(dtype, {c.outChannels, inGroup, w.kernel[0], w.kernel[1]}),
      bias(dtype, {c.outChannels}), out(dtype, {c.images, c.outChannels, oh, ow}), slope(dtype, out.shape());
  src.randomize(random_);
  weight.randomize(random_);
  bias.randomize(random_);
  slope.randomize(random_);
  const std::vector<double> inputs = src.values(), weights = weight.values(), slopes = slope.values();
  std::vector<double> sums(out.count()), dsrc(src.count()), dweight(weight.count());
  for (int64_t i = 0; i < out.count(); ++i) {
    const int64_t x = i % ow, y = i / ow % oh, channel = i / ow / oh % c.outChannels, image = i / ow / oh / c.outChannels;
    for (int64_t tap = 0; tap < inGroup * w.kernel[0] * w.kernel[1]; ++tap) {
      const int64_t kx = tap % w.kernel[1], ky = tap / w.kernel[1] % w.kernel[0], inChannel = tap / w.kernel[1] / w.kernel[0];
      const int64_t row = y * w.stride[0] - w.padding[0] + ky * w.dilation[0], column = x * w.stride[1] - w.padding[1] + kx * w.dilation[1];
      if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
      const int64_t at = ((image * c.inChannels + channel / outGroup * inGroup + inChannel) * c.height + row) * c.width + column;
      const int64_t weightAt = channel * inGroup * w.kernel[0] * w.kernel[1] + tap;
      sums[i] += inputs[at] * weights[weightAt];
      dsrc[at] += slopes[i] * weights[weightAt];
      dweight[weightAt] += slopes[i] * inputs[at];
    }
  }
  const double terms = static_cast<double>(inGroup * w.kernel[0] * w.kernel[1]);
  onThreads("conv2d", out, [&](Tensor& target) {
    return cpu::conv2d(nullptr, src, weight, withBias ? static_cast<const View*>(bias) : nullptr, target, &w);
  });
  const int64_t plane = oh * ow;
  checkEach(
      "conv2d", out, terms / 4 + 3, [&](int64_t i) { return sums[i] + (withBias ? bias[i / plane % c.outChannels] : 0); }, 4);
  Tensor inputGradient(dtype, src.shape()), weightGradient(dtype, weight.shape());
  onThreads("conv2dBackwardInput", inputGradient,
            [&](Tensor& target) { return cpu::conv2dBackwardInput(nullptr, slope, weight, target, &w); });
  checkEach(
      "conv2dBackwardInput", inputGradient, static_cast<double>(outGroup * w.kernel[0] * w.kernel[1]) / 2 + 4,
      [&](int64_t i) { return dsrc[i]; }, 4);
  onThreads("conv2dBackwardWeight", weightGradient,
            [&](Tensor& target) { return cpu::conv2dBackwardWeight(nullptr, slope, src, target, &w); });
  checkEach(
      "conv2dBackwardWeight", weightGradient, std::sqrt(static_cast<double>(c.images * plane)) + 4, [&](int64_t i) { return dweight[i]; },
      4 + std::sqrt(static_cast<double>(c.images * plane)));
}

void maxPoolCase(DType dtype, const Shape& shape, const Window& w) {
  const int64_t height = shape[2], width = shape[3], oh = outSize(height, w, 0), ow = outSize(width, w, 1), plane = oh * ow;
  Tensor src(dtype, shape), out(dtype, {shape[0], shape[1], oh, ow}), indices(DType::int64, out.shape()), dsrc(dtype, shape);
  src.randomize(random_);
  if (src.count() > 8) src.set(5, kNaN);
  onThreads("maxPool2d", out, [&](Tensor& target) { return cpu::maxPool2d(nullptr, src, target, indices, &w); });
  std::vector<double> expected(out.count()), places(out.count()), gradient(src.count());
  for (int64_t i = 0; i < out.count(); ++i) {
    const int64_t x = i % ow, y = i / ow % oh, base = i / plane * height * width;
    double best = -kInfinity;
    for (int64_t ky = 0; ky < w.kernel[0]; ++ky) {
      for (int64_t kx = 0; kx < w.kernel[1]; ++kx) {
        const int64_t row = y * w.stride[0] - w.padding[0] + ky * w.dilation[0],
                      column = x * w.stride[1] - w.padding[1] + kx * w.dilation[1];
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const double value = src[base + row * width + column];
        if (value > best || value != value) best = value, places[i] = static_cast<double>(row * width + column);
      }
    }
    expected[i] = best;
    gradient[base + static_cast<int64_t>(places[i])] += std::isnan(best) ? 1 : best;
  }
  checkEach("maxPool2d", out, 0, [&](int64_t i) { return expected[i]; });
  checkEach("maxPool2d indices", indices, 0, [&](int64_t i) { return places[i]; });
  Tensor slope(dtype, out.shape());
  slope.fill([&](int64_t i) { return std::isnan(expected[i]) ? 1 : expected[i]; });
  onThreads("maxPool2dBackward", dsrc, [&](Tensor& target) { return cpu::maxPool2dBackward(nullptr, slope, indices, target); });
  checkEach(
      "maxPool2dBackward", dsrc, 4, [&](int64_t i) { return gradient[i]; }, 2);
  if (indices.count() == 0) return;
  indices.set(0, static_cast<double>(height * width));
  CHECK(cpu::maxPool2dBackward(nullptr, slope, indices, dsrc) == Status::indexOutOfRange, "maxPool2dBackward takes a bad index");
}

// regionOf(y, x, rows[2], columns[2]) gives the rectangle and returns its divisor.
template <class RegionOf, class Forward, class Backward>
void averageCase(const char* what, DType dtype, const Shape& shape, int64_t oh, int64_t ow, RegionOf&& regionOf, Forward&& forward,
                 Backward&& backward) {
  Tensor src(dtype, shape), out(dtype, {shape[0], shape[1], oh, ow}), slope(dtype, out.shape()), dsrc(dtype, shape);
  src.randomize(random_);
  slope.randomize(random_);
  std::vector<double> expected(out.count()), gradient(src.count());
  for (int64_t i = 0; i < out.count(); ++i) {
    int64_t rows[2], columns[2];
    const double divisor = regionOf(i / ow % oh, i % ow, rows, columns);
    for (int64_t row = rows[0]; row < rows[1]; ++row) {
      for (int64_t column = columns[0]; column < columns[1]; ++column) {
        const int64_t at = (i / ow / oh * shape[2] + row) * shape[3] + column;
        expected[i] += src[at] / divisor;
        gradient[at] += slope[i] / divisor;
      }
    }
  }
  onThreads(what, out, [&](Tensor& target) { return forward(src, target); });
  checkEach(
      what, out, 1, [&](int64_t i) { return expected[i]; }, 1);
  onThreads(what, dsrc, [&](Tensor& target) { return backward(slope, target); });
  checkEach(
      what, dsrc, 4, [&](int64_t i) { return gradient[i]; }, 1);
}

void testPools() {
  const Window windows[] = {{{2, 2}, {2, 2}, {0, 0}, {1, 1}, 1}, {{3, 3}, {2, 2}, {1, 1}, {1, 1}, 1}, {{3, 2}, {1, 2}, {1, 1}, {2, 1}, 1}};
  for (DType dtype : kFloats) {
    for (const Shape& shape : {Shape{2, 3, 6, 8}, Shape{1, 1, 5, 5}, Shape{0, 2, 6, 6}, Shape{4, 40, 24, 24}}) {
      for (const Window& w : windows) {
        maxPoolCase(dtype, shape, w);
        if (w.dilation[0] != 1) continue;
        for (const bool countIncludePad : {false, true}) {
          averageCase(
              "avgPool2d", dtype, shape, outSize(shape[2], w, 0), outSize(shape[3], w, 1),
              [&](int64_t y, int64_t x, int64_t* rows, int64_t* columns) {
                const int64_t position[] = {y, x};
                int64_t divisor = 1;
                for (int dim = 0; dim < 2; ++dim) {
                  int64_t* range = dim == 0 ? rows : columns;
                  const int64_t begin = position[dim] * w.stride[dim] - w.padding[dim];
                  const int64_t end = std::min(begin + w.kernel[dim], shape[2 + dim] + w.padding[dim]);
                  range[0] = std::max<int64_t>(begin, 0);
                  range[1] = std::min(end, shape[2 + dim]);
                  divisor *= countIncludePad ? end - begin : range[1] - range[0];
                }
                return static_cast<double>(divisor);
              },
              [&](const View* src, const View* out) { return cpu::avgPool2d(nullptr, src, out, &w, countIncludePad); },
              [&](const View* dout, const View* dsrc) { return cpu::avgPool2dBackward(nullptr, dout, dsrc, &w, countIncludePad); });
        }
      }
      for (const Shape& size : {Shape{1, 1}, Shape{2, 3}, Shape{7, 7}}) {
        averageCase(
            "adaptiveAvgPool2d", dtype, shape, size[0], size[1],
            [&](int64_t y, int64_t x, int64_t* rows, int64_t* columns) {
              const auto cut = [](int64_t i, int64_t length, int64_t pieces, int64_t* range) {
                range[0] = static_cast<int64_t>(std::floor(static_cast<double>(i * length) / static_cast<double>(pieces)));
                range[1] = static_cast<int64_t>(std::ceil(static_cast<double>((i + 1) * length) / static_cast<double>(pieces)));
                return range[1] - range[0];
              };
              return static_cast<double>(cut(y, shape[2], size[0], rows) * cut(x, shape[3], size[1], columns));
            },
            [&](const View* src, const View* out) { return cpu::adaptiveAvgPool2d(nullptr, src, out); },
            [&](const View* dout, const View* dsrc) { return cpu::adaptiveAvgPool2dBackward(nullptr, dout, dsrc); });
      }
    }
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  for (DType dtype : kFloats) {
    for (const ConvCase& c : kConvCases) {
      convCase(c, dtype, true);
      if (c.images < 4) convCase(c, dtype, false);
    }
  }
  testPools();
  return check::report("kernels_conv_test");
}
