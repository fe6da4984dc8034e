// Convolutions of int8 codes, and those with steps behind them, bit by bit against the steps taken one by one.
#include <cmath>

#include "cpu/backend.h"
#include "every_isa.h"
#include "scalar_math.h"
#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(7);

struct Case {
  int64_t images, inChannels, outChannels, height, width;
  Window window;
};

Window square(int64_t kernel, int64_t stride = 1, int64_t padding = 0, int64_t dilation = 1, int64_t groups = 1) {
  return {{kernel, kernel}, {stride, stride}, {padding, padding}, {dilation, dilation}, groups};
}

const Case kCases[] = {
    {1, 1, 1, 1, 1, square(1)},
    {2, 3, 7, 15, 17, square(3, 1, 1)},
    {1, 7, 15, 7, 7, square(3, 1, 1)},
    {3, 15, 17, 8, 8, square(3, 1, 1)},
    {1, 17, 33, 16, 16, square(3, 2, 1)},
    {2, 33, 7, 9, 50, square(1)},
    {1, 50, 9, 5, 33, square(1, 2)},
    {1, 63, 8, 4, 4, square(4)},
    {1, 65, 3, 3, 63, square(3, 1, 1)},
    {1, 4, 5, 6, 127, square(5, 3, 4, 2)},
    {1, 127, 10, 10, 65, square(3, 2, 0)},
    {2, 6, 8, 9, 32, {{3, 2}, {2, 1}, {1, 2}, {1, 2}, 2}},
    {1, 16, 32, 32, 32, square(3, 1, 1)},
    {1, 15, 15, 14, 14, square(3, 1, 1, 1, 15)},
    {2, 7, 14, 9, 33, square(5, 2, 2, 1, 7)},
    {1, 3, 3, 6, 6, {{1, 7}, {1, 3}, {0, 9}, {1, 3}, 3}},
    {1, 2, 4, 8, 8, {{3, 3}, {1, 1}, {90, 90}, {90, 90}, 1}},
    {1, 2, 2, 6, 6, {{2, 2}, {40, 40}, {150, 150}, {1, 1}, 2}},
    {0, 3, 4, 7, 9, square(3)},
};

int64_t outSize(int64_t size, const Window& w, int dim) {
  return (size + 2 * w.padding[dim] - w.dilation[dim] * (w.kernel[dim] - 1) - 1) / w.stride[dim] + 1;
}

// Exact sums of codes.
std::vector<int64_t> sumsOf(const Case& c, const std::vector<double>& src, const std::vector<double>& weight, const Shape& out) {
  const Window& w = c.window;
  const int64_t inGroup = c.inChannels / w.groups, outGroup = c.outChannels / w.groups, taps = inGroup * w.kernel[0] * w.kernel[1];
  std::vector<int64_t> sums(out[0] * out[1] * out[2] * out[3]);
  for (size_t i = 0; i < sums.size(); ++i) {
    const int64_t index = static_cast<int64_t>(i), x = index % out[3], y = index / out[3] % out[2],
                  channel = index / out[3] / out[2] % out[1], image = index / out[3] / out[2] / out[1];
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t kx = tap % w.kernel[1], ky = tap / w.kernel[1] % w.kernel[0], inChannel = tap / w.kernel[1] / w.kernel[0];
      const int64_t row = y * w.stride[0] - w.padding[0] + ky * w.dilation[0], column = x * w.stride[1] - w.padding[1] + kx * w.dilation[1];
      if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
      const int64_t at = ((image * c.inChannels + channel / outGroup * inGroup + inChannel) * c.height + row) * c.width + column;
      sums[i] += static_cast<int64_t>(src[at]) * static_cast<int64_t>(weight[channel * taps + tap]);
    }
  }
  return sums;
}

float codeOf(float x, float scale) {
  const float quotient = x / scale;
  if (scale == 0 || quotient != quotient) return 0;
  return std::fmin(std::fmax(std::nearbyint(quotient), -128.0f), 127.0f);
}

float activated(float x, Activation activation) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return math::gelu(x);
    case Activation::geluTanh:
      return math::geluTanh(x);
    case Activation::silu:
      return x * math::sigmoid(x);
    default:
      return x;
  }
}

// Which of the options a run has, by bits: so that every pair of them meets in some run.
struct Options {
  bool codes, packed, perChannel, bias, norm, addend, toCodes;
  Activation activation;
  explicit Options(unsigned bits)
      : codes(bits & 1),
        packed(bits & 2),
        perChannel(bits & 4),
        bias(bits & 8),
        norm(bits & 16),
        addend(bits & 32),
        toCodes(bits & 64),
        activation(static_cast<Activation>(bits / 128 % 5)) {}
};

const View* optional(bool has, const Tensor& tensor) { return has ? static_cast<const View*>(tensor) : nullptr; }

void convCase(const Case& c, const Options& options, DType outType) {
  const Window& w = c.window;
  const Shape shape = {c.images, c.outChannels, outSize(c.height, w, 0), outSize(c.width, w, 1)};
  Tensor src(options.codes ? DType::int8 : DType::float32, {c.images, c.inChannels, c.height, c.width});
  Tensor weight(DType::int8, {c.outChannels, c.inChannels / w.groups, w.kernel[0], w.kernel[1]}), srcScale(DType::float32, {1});
  Tensor scale(DType::float32, {options.perChannel ? c.outChannels : 1}), outScale(DType::float32, {1});
  Tensor bias(DType::float32, {c.outChannels}), normScale(DType::float32, bias.shape()), normShift(DType::float32, bias.shape());
  Tensor addend(DType::float32, shape), out(options.toCodes ? DType::int8 : outType, shape);
  srcScale.set(0, 0.017);
  outScale.set(0, 0.031);
  if (options.codes) src.fill([&](int64_t) { return double(random_.code()); });
  else src.randomize(random_, 2.5);
  weight.fill([&](int64_t) { return double(random_.code()); });
  scale.fill([&](int64_t) { return 0.0005 + 0.001 * std::fabs(random_.symmetric()); });
  for (Tensor* tensor : {&bias, &normScale, &normShift, &addend}) tensor->randomize(random_);

  std::vector<double> codes = src.values();
  if (!options.codes) {
    for (double& value : codes) value = codeOf(static_cast<float>(value), static_cast<float>(srcScale[0]));
  }
  const std::vector<int64_t> sums = sumsOf(c, codes, weight.values(), shape);

  Tensor packed(
      DType::uint8,
      {static_cast<int64_t>(cpu::cpuBackend()->packedConvBytes(weight.shape()[0], weight.shape()[1], w.kernel[0] * w.kernel[1]))});
  View packedView = *static_cast<const View*>(weight);
  if (options.packed) {
    CHECK(cpu::packConvWeight(nullptr, weight, packed) == Status::ok, "packConvWeight failed");
    Tensor back(DType::int8, weight.shape());
    packedView.data = packed.view().data;
    packedView.layout = Layout::packed;
    CHECK(cpu::unpackConvWeight(nullptr, &packedView, back) == Status::ok, "unpackConvWeight failed");
    CHECK(back.values() == weight.values(), "unpackConvWeight gives other codes");
  }
  onThreads("conv2dInt8", out, [&](Tensor& target) {
    return cpu::conv2dInt8(nullptr, src, srcScale, options.packed ? &packedView : static_cast<const View*>(weight), scale,
                           optional(options.bias, bias), optional(options.norm, normScale), optional(options.norm, normShift),
                           optional(options.addend, addend), target, optional(options.toCodes, outScale), &w,
                           static_cast<int32_t>(options.activation));
  });
  const int64_t plane = shape[2] * shape[3];
  // Functions that are not rounded correctly differ by a few units of their last place, which codes show as one step.
  const bool isExact = options.activation <= Activation::relu;
  checkEach(
      "conv2dInt8", out, isExact ? 0 : 8,
      [&](int64_t i) -> double {
        const int64_t channel = i / plane % c.outChannels;
        float value = static_cast<float>(sums[i]);
        value *= static_cast<float>(srcScale[0]) * static_cast<float>(scale[options.perChannel ? channel : 0]);
        if (options.bias) value += static_cast<float>(bias[channel]);
        if (options.norm) {
          value *= static_cast<float>(normScale[channel]);
          value += static_cast<float>(normShift[channel]);
        }
        if (options.addend) value += static_cast<float>(addend[i]);
        value = activated(value, options.activation);
        if (!options.toCodes) return value;
        const float code = codeOf(value, static_cast<float>(outScale[0]));
        return !isExact && std::fabs(out[i] - code) == 1 ? out[i] : code;
      },
      isExact ? 0 : 4);
}

// Quotients at and beside the halves between two codes, where division must be rounded as written.
void testRounding() {
  const Window w = square(1);
  const int64_t count = 4096;
  Tensor src(DType::int8, {1, 1, 1, 1}), weight(DType::int8, {1, 1, 1, 1}), one(DType::float32, {1}), outScale(DType::float32, {1});
  Tensor addend(DType::float32, {1, 1, 1, count}), out(DType::int8, addend.shape()), image(DType::int8, addend.shape());
  one.set(0, 1);
  for (double scale : {0.1, 0.017, 1.0, 3.0, 0.007874016, 1e-30, 1e-38, 1e-40, 1e30, 3e38, 0.0}) {
    outScale.set(0, scale);
    const auto s = static_cast<float>(scale);
    addend.fill([&](int64_t i) -> double {
      if (i == 0) return kNaN;
      if (i <= 2) return i == 1 ? kInfinity : -kInfinity;
      float value = s * (static_cast<float>(i % 260) - 130.5f);
      for (int64_t step = i / 260 % 5; step > 0; --step) value = std::nextafterf(value, static_cast<float>(kInfinity));
      return i % 2 ? value : -value;
    });
    image.fill([](int64_t) { return 0.0; });
    CHECK(cpu::conv2dInt8(nullptr, image, one, weight, one, nullptr, nullptr, nullptr, addend, out, outScale, &w, 0) == Status::ok,
          "conv2dInt8 failed");
    checkEach("conv2dInt8 codes", out, 0, [&](int64_t i) { return double(codeOf(static_cast<float>(addend[i]), s)); });
  }
}

void fusedCase(const Case& c, const Options& options) {
  const Window& w = c.window;
  const Shape shape = {c.images, c.outChannels, outSize(c.height, w, 0), outSize(c.width, w, 1)};
  Tensor src(DType::float32, {c.images, c.inChannels, c.height, c.width});
  Tensor weight(DType::float32, {c.outChannels, c.inChannels / w.groups, w.kernel[0], w.kernel[1]}), bias(DType::float32, {c.outChannels});
  Tensor normScale(DType::float32, bias.shape()), normShift(DType::float32, bias.shape()), addend(DType::float32, shape);
  Tensor out(DType::float32, shape), sums(DType::float32, shape);
  for (Tensor* tensor : {&src, &weight, &bias, &normScale, &normShift, &addend}) tensor->randomize(random_);
  onThreads("conv2dFused", out, [&](Tensor& target) {
    return cpu::conv2dFused(nullptr, src, weight, optional(options.bias, bias), optional(options.norm, normScale),
                            optional(options.norm, normShift), optional(options.addend, addend), target, &w,
                            static_cast<int32_t>(options.activation));
  });
  CHECK(cpu::conv2dFused(nullptr, src, weight, optional(options.bias, bias), nullptr, nullptr, nullptr, sums, &w, 0) == Status::ok,
        "conv2dFused failed");
  const int64_t plane = shape[2] * shape[3];
  const bool isExact = options.activation <= Activation::relu;
  checkEach(
      "conv2dFused", out, isExact ? 0 : 8,
      [&](int64_t i) -> double {
        const int64_t channel = i / plane % c.outChannels;
        auto value = static_cast<float>(sums[i]);
        if (options.norm) {
          value *= static_cast<float>(normScale[channel]);
          value += static_cast<float>(normShift[channel]);
        }
        if (options.addend) value += static_cast<float>(addend[i]);
        return activated(value, options.activation);
      },
      isExact ? 0 : 4);
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  unsigned bits = 0;
  for (const Case& c : kCases) {
    // 11 and 640 have no common divisor, so that the options go through all their combinations over the cases.
    for (int run = 0; run < 24; ++run, bits += 11) {
      convCase(c, Options(bits), run % 3 == 0 ? DType::float32 : run % 3 == 1 ? DType::float16 : DType::bfloat16);
      if (run % 3 == 0) fusedCase(c, Options(bits));
    }
  }
  testRounding();
  return check::report("kernels_conv_int8_test");
}
