// Convolutions of int8 codes, and those with steps behind them, bit by bit against the steps taken one by one: the same cases for every
// device.
#pragma once

#include <cmath>

#include "../../csrc/scalar_math.h"
#include "test_tensor.h"

namespace test::conv {

using quanto::Activation;
using quanto::Window;
namespace math = quanto::math;

inline check::Random random_(7);

struct Case {
  int64_t images, inChannels, outChannels, height, width;
  Window window;
};

inline Window square(int64_t kernel, int64_t stride = 1, int64_t padding = 0, int64_t dilation = 1, int64_t groups = 1) {
  return {{kernel, kernel}, {stride, stride}, {padding, padding}, {dilation, dilation}, groups};
}

inline const Case kCases[] = {
    {1, 1, 1, 1, 1, square(1)},
    {2, 3, 7, 15, 17, square(3, 1, 1)},
    {1, 7, 15, 7, 7, square(3, 1, 1)},
    {3, 15, 17, 8, 8, square(3, 1, 1)},
    {1, 17, 33, 16, 16, square(3, 2, 1)},
    {2, 33, 7, 9, 50, square(1)},
    {1, 50, 9, 5, 33, square(1, 2)},
    {1, 63, 8, 4, 4, square(4)},
    {1, 65, 3, 3, 63, square(3, 1, 1)},
    {2, 12, 70, 9, 8, square(3, 1, 1)},
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
    {1, 0, 3, 4, 5, square(3, 1, 1)},
};

inline int64_t outSize(int64_t size, const Window& w, int dim) {
  return (size + 2 * w.padding[dim] - w.dilation[dim] * (w.kernel[dim] - 1) - 1) / w.stride[dim] + 1;
}

// Exact for codes.
template <class Sum>
std::vector<Sum> sumsOf(const Case& c, const std::vector<double>& src, const std::vector<double>& weight, const Shape& out) {
  const Window& w = c.window;
  const int64_t inGroup = c.inChannels / w.groups, outGroup = c.outChannels / w.groups, taps = inGroup * w.kernel[0] * w.kernel[1];
  std::vector<Sum> sums(out[0] * out[1] * out[2] * out[3]);
  for (size_t i = 0; i < sums.size(); ++i) {
    const int64_t index = static_cast<int64_t>(i), x = index % out[3], y = index / out[3] % out[2],
                  channel = index / out[3] / out[2] % out[1], image = index / out[3] / out[2] / out[1];
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t kx = tap % w.kernel[1], ky = tap / w.kernel[1] % w.kernel[0], inChannel = tap / w.kernel[1] / w.kernel[0];
      const int64_t row = y * w.stride[0] - w.padding[0] + ky * w.dilation[0], column = x * w.stride[1] - w.padding[1] + kx * w.dilation[1];
      if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
      const int64_t at = ((image * c.inChannels + channel / outGroup * inGroup + inChannel) * c.height + row) * c.width + column;
      sums[i] += static_cast<Sum>(src[at]) * static_cast<Sum>(weight[channel * taps + tap]);
    }
  }
  return sums;
}

inline float codeOf(float x, float scale) {
  const float quotient = x / scale;
  if (scale == 0 || quotient != quotient) return 0;
  return std::fmin(std::fmax(std::nearbyint(quotient), -128.0f), 127.0f);
}

inline float activated(float x, Activation activation) {
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

// The operands of a call; null where one is left out.
struct Call {
  const Tensor *src, *srcScale, *weight, *scale, *bias, *normScale, *normShift, *addend, *outScale;
  const Window* window;
  int32_t activation;
};

inline const Tensor* optional(bool has, const Tensor& tensor) { return has ? &tensor : nullptr; }

// The steps behind a sum, each of which rounds.
struct Steps {
  Tensor bias, normScale, normShift, addend;
  Options options;
  int64_t plane;
  Steps(const Shape& shape, const Options& options)
      : bias(DType::float32, {shape[1]}),
        normScale(DType::float32, {shape[1]}),
        normShift(DType::float32, {shape[1]}),
        addend(DType::float32, shape),
        options(options),
        plane(shape[2] * shape[3]) {
    for (Tensor* tensor : {&bias, &normScale, &normShift, &addend}) tensor->randomize(random_);
  }
  int64_t channelOf(int64_t i) const { return i / plane % bias.count(); }
  float take(int64_t i, float value) const {
    if (options.norm) {
      value *= static_cast<float>(normScale[channelOf(i)]);
      value += static_cast<float>(normShift[channelOf(i)]);
    }
    if (options.addend) value += static_cast<float>(addend[i]);
    return activated(value, options.activation);
  }
  // Functions that are not rounded correctly differ by a few units of their last place, which codes show as one step.
  bool isExact() const { return options.activation <= Activation::relu; }
};

inline Shape outShape(const Case& c) { return {c.images, c.outChannels, outSize(c.height, c.window, 0), outSize(c.width, c.window, 1)}; }

// run(call, packed, out) runs the slot conv2dInt8.
template <class Run>
void int8Case(const Case& c, const Options& options, DType outType, const Run& run) {
  const Window& w = c.window;
  const Shape shape = outShape(c);
  Tensor src(options.codes ? DType::int8 : DType::float32, {c.images, c.inChannels, c.height, c.width});
  Tensor weight(DType::int8, {c.outChannels, c.inChannels / w.groups, w.kernel[0], w.kernel[1]}), srcScale(DType::float32, {1});
  Tensor scale(DType::float32, {options.perChannel ? c.outChannels : 1}), outScale(DType::float32, {1});
  Tensor out(options.toCodes ? DType::int8 : outType, shape);
  srcScale.set(0, 0.017);
  outScale.set(0, 0.031);
  if (options.codes) src.fill([&](int64_t) { return double(random_.code()); });
  else src.randomize(random_, 2.5);
  weight.fill([&](int64_t) { return double(random_.code()); });
  scale.fill([&](int64_t) { return 0.0005 + 0.001 * std::fabs(random_.symmetric()); });
  const Steps steps(shape, options);

  std::vector<double> codes = src.values();
  if (!options.codes) {
    for (double& value : codes) value = codeOf(static_cast<float>(value), static_cast<float>(srcScale[0]));
  }
  const auto sums = sumsOf<int64_t>(c, codes, weight.values(), shape);

  const Call call{&src,
                  &srcScale,
                  &weight,
                  &scale,
                  optional(options.bias, steps.bias),
                  optional(options.norm, steps.normScale),
                  optional(options.norm, steps.normShift),
                  optional(options.addend, steps.addend),
                  optional(options.toCodes, outScale),
                  &w,
                  static_cast<int32_t>(options.activation)};
  run(call, options.packed, out);
  const bool isExact = steps.isExact();
  checkEach(
      "conv2dInt8", out, isExact ? 0 : 8,
      [&](int64_t i) -> double {
        float value = static_cast<float>(sums[i]);
        value *= static_cast<float>(srcScale[0]) * static_cast<float>(scale[options.perChannel ? steps.channelOf(i) : 0]);
        if (options.bias) value += static_cast<float>(steps.bias[steps.channelOf(i)]);
        value = steps.take(i, value);
        if (!options.toCodes) return value;
        const float code = codeOf(value, static_cast<float>(outScale[0]));
        return !isExact && std::fabs(out[i] - code) == 1 ? out[i] : code;
      },
      isExact ? 0 : 4);
}

// run(call, out) runs the slot conv2dFused, or, with a weight of codes, conv2dWeightOnly.
template <class Run>
void realCase(const char* name, const Case& c, const Options& options, bool ofCodes, const Run& run) {
  const Window& w = c.window;
  const Shape shape = outShape(c);
  Tensor src(DType::float32, {c.images, c.inChannels, c.height, c.width});
  Tensor weight(DType::float32, {c.outChannels, c.inChannels / w.groups, w.kernel[0], w.kernel[1]});
  Tensor out(DType::float32, shape), sums(DType::float32, shape);
  for (Tensor* tensor : {&src, &weight}) tensor->randomize(random_);
  Tensor codes(DType::int8, weight.shape()), scale(DType::float32, {options.perChannel ? c.outChannels : 1});
  if (ofCodes) {
    const int64_t patch = weight.count() / c.outChannels;
    codes.fill([](int64_t) { return random_.code(); });
    scale.fill([](int64_t) { return 0.01 + 0.02 * std::fabs(random_.symmetric()); });
    weight.fill([&](int64_t i) { return codes[i] * scale[scale.count() == 1 ? 0 : i / patch]; });
  }
  const Steps steps(shape, options);
  Call call{};
  call.src = &src;
  call.weight = ofCodes ? &codes : &weight;
  call.scale = optional(ofCodes, scale);
  call.bias = optional(options.bias, steps.bias);
  call.window = &w;
  run(call, sums);
  const std::vector<double> x = src.values(), y = weight.values();
  const auto absolute = [](std::vector<double> values) {
    for (double& value : values) value = std::fabs(value);
    return values;
  };
  const std::vector<double> exact = sumsOf<double>(c, x, y, shape), magnitude = sumsOf<double>(c, absolute(x), absolute(y), shape);
  const double terms = static_cast<double>(weight.count()) / static_cast<double>(c.outChannels) + 1;
  double worst = 0;
  for (int64_t i = 0; i < sums.count(); ++i) {
    const double bias = options.bias ? steps.bias[steps.channelOf(i)] : 0;
    const double error = std::fabs(sums[i] - exact[i] - bias) / ((magnitude[i] + std::fabs(bias)) * std::ldexp(1, -24) + 1e-30);
    if (!(error <= worst)) worst = error;
  }
  CHECK(worst <= terms, "%s: sums of %g terms are off by %g steps", name, terms, worst);
  // Without steps codes may be multiplied as matrices, whose sums have another order than those that steps follow.
  Tensor zeros(DType::float32, shape);
  zeros.fill([](int64_t) { return 0.0; });
  call.addend = optional(ofCodes, zeros);
  run(call, sums);
  call.normScale = optional(options.norm, steps.normScale);
  call.normShift = optional(options.norm, steps.normShift);
  if (options.addend || !ofCodes) call.addend = optional(options.addend, steps.addend);
  call.activation = static_cast<int32_t>(options.activation);
  run(call, out);
  const bool isExact = steps.isExact();
  checkEach(
      name, out, isExact ? 0 : 8, [&](int64_t i) -> double { return steps.take(i, static_cast<float>(sums[i])); }, isExact ? 0 : 4);
}

// Quotients at and beside the halves between two codes, where division must be rounded as written.
template <class Run>
void testRounding(const Run& run) {
  const Window w = square(1);
  const int64_t count = 4096;
  Tensor weight(DType::int8, {1, 1, 1, 1}), one(DType::float32, {1}), outScale(DType::float32, {1});
  Tensor addend(DType::float32, {1, 1, 1, count}), out(DType::int8, addend.shape()), image(DType::int8, addend.shape());
  one.set(0, 1);
  weight.set(0, 1);
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
    run(Call{&image, &one, &weight, &one, nullptr, nullptr, nullptr, &addend, &outScale, &w, 0}, false, out);
    checkEach("conv2dInt8 codes", out, 0, [&](int64_t i) { return double(codeOf(static_cast<float>(addend[i]), s)); });
  }
}

// `runs` of each case, a third of which run the slots of real values as well.
template <class RunInt8, class RunFused, class RunWeightOnly>
void testCases(int runs, const RunInt8& runInt8, const RunFused& runFused, const RunWeightOnly& runWeightOnly) {
  unsigned bits = 0;
  for (const Case& c : kCases) {
    // 11 and 640 have no common divisor, so that the options go through all their combinations over the cases.
    for (int run = 0; run < runs; ++run, bits += 11) {
      int8Case(c, Options(bits), run % 3 == 0 ? DType::float32 : run % 3 == 1 ? DType::float16 : DType::bfloat16, runInt8);
      if (run % 3 != 0) continue;
      realCase("conv2dFused", c, Options(bits), false, runFused);
      realCase("conv2dWeightOnly", c, Options(bits), true, [&](const Call& call, Tensor& out) { runWeightOnly(call, run % 2 == 0, out); });
    }
  }
}

}  // namespace test::conv
