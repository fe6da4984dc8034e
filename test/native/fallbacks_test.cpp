// Ops whose slot a device may leave empty: made of others there, with the same results.
#include "cpu/backend.h"
#include "ops/conv_fused.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/unary.h"
#include "tensors.h"

using namespace quanto;
using namespace check;

namespace {

Random random_(21);

// The CPU without what it could do without.
Backend leanBackend() {
  Backend backend = *cpu::cpuBackend();
  backend.name = "lean";
  backend.intMatmulScaled = nullptr;
  backend.layerNormInt8 = nullptr;
  backend.rmsNormInt8 = nullptr;
  backend.conv2dFused = nullptr;
  backend.conv2dWeightOnly = nullptr;
  backend.conv2dInt8 = nullptr;
  backend.batchNormAffine = nullptr;
  backend.batchNorm = nullptr;
  backend.packedConvBytes = nullptr;
  return backend;
}
const Backend kLean = leanBackend();
// Not registered, and so with the CPU's place in the registry and its queue.
Device lean(kLean, 0, 0);

Tensor there(const Tensor& tensor) { return ops::moveBytes(tensor, lean); }
std::optional<Tensor> there(const std::optional<Tensor>& tensor) { return tensor ? std::optional(there(*tensor)) : std::nullopt; }

Tensor values(const Shape& shape, DType dtype = DType::float32) {
  std::vector<float> all(static_cast<size_t>(shape.numel()));
  for (float& value : all) value = 2 * random_.symmetric();
  return ops::toDType(make(all, shape, DType::float32), dtype);
}
Tensor codes(const Shape& shape) {
  std::vector<int8_t> all(static_cast<size_t>(shape.numel()));
  for (int8_t& code : all) code = random_.code();
  return make(all, shape, DType::int8);
}
// Powers of two: products of codes by them are exact, and so are their sums, in whatever order.
Tensor exactScales(const Shape& shape, DType dtype) {
  std::vector<float> all(static_cast<size_t>(shape.numel()));
  for (float& value : all) value = std::ldexp(1.0f, -static_cast<int>(below(random_, 4)) - 5);
  return ops::toDType(make(all, shape, DType::float32), dtype);
}

void same(const char* what, const Tensor& here, const Tensor& fallback) {
  CHECK(here.dtype() == fallback.dtype() && here.shape() == fallback.shape(), "%s: other dtypes or shapes", what);
  CHECK(bytesOf(here) == bytesOf(fallback), "%s (%s) has other bits", what, info(here.dtype()).name);
}

constexpr DType kReals[] = {DType::float32, DType::float16, DType::bfloat16};

void testProducts() {
  for (const DType dtype : kReals) {
    for (const auto& [m, k, n] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {7, 15, 17}, {33, 50, 63}, {0, 3, 4}, {2, 0, 4}}) {
      const Tensor a = codes({2, m, k}), b = codes({2, k, n}), scale = values({1});
      same("intMatmulScaled", ops::intMatmulScaled(a, b, scale, dtype), ops::intMatmulScaled(there(a), there(b), there(scale), dtype));
    }
  }
}

void testNorms() {
  for (const DType dtype : kReals) {
    for (const int64_t n : {1, 7, 33, 127}) {
      const Tensor src = values({3, n}, dtype), scale = ops::toDType(make(std::vector<float>{0.03f}, {1}, DType::float32), dtype);
      for (const bool affine : {false, true}) {
        const auto weight = affine ? std::optional(values({n}, dtype)) : std::nullopt,
                   bias = affine ? std::optional(values({n}, dtype)) : std::nullopt;
        same("layerNormInt8", ops::layerNormInt8(src, weight, bias, scale, 1, 1e-5),
             ops::layerNormInt8(there(src), there(weight), there(bias), there(scale), 1, 1e-5));
        same("rmsNormInt8", ops::rmsNormInt8(src, weight, scale, 1e-6), ops::rmsNormInt8(there(src), there(weight), there(scale), 1e-6));
        const Tensor mean = values({n}, dtype), variance = ops::unary(static_cast<int64_t>(UnaryOp::abs), values({n}, dtype), 0, 0);
        const auto wanted = ops::batchNormAffine("norm", mean, variance, weight, bias, 1e-5);
        const auto got = ops::batchNormAffine("norm", there(mean), there(variance), there(weight), there(bias), 1e-5);
        same("the scale of batchNormAffine", wanted.scale, got.scale);
        same("the shift of batchNormAffine", wanted.shift, got.shift);
        const Tensor images = values({2, n, 3}, dtype);
        same("batchNorm", ops::batchNorm(images, mean, variance, weight, bias, 1e-5),
             ops::batchNorm(there(images), there(mean), there(variance), there(weight), there(bias), 1e-5));
      }
    }
  }
}

struct Sizes {
  Shape src, weight;
  int64_t stride, padding, groups;
};
const Sizes kSizes[] = {{{2, 3, 7, 15}, {17, 3, 3, 3}, 1, 1, 1},  {{1, 17, 8, 5}, {33, 17, 3, 3}, 2, 1, 1},
                        {{1, 50, 3, 5}, {7, 50, 1, 1}, 1, 0, 1},  {{2, 7, 9, 6}, {7, 1, 3, 3}, 1, 1, 7},
                        {{1, 30, 5, 5}, {16, 15, 3, 3}, 1, 1, 2}, {{0, 3, 6, 5}, {4, 3, 3, 3}, 1, 0, 1},
                        {{15, 8, 6}, {1, 15, 8, 6}, 1, 0, 1}};

constexpr double kEps = 1e-5;

struct Steps {
  std::optional<Tensor> bias, mean, variance, normWeight, normBias, addend;
  Steps(int64_t channels, const Shape& out, int64_t which) {
    if (which & 1) bias = values({channels});
    if (which & 2) {
      mean = values({channels});
      variance = ops::unary(static_cast<int64_t>(UnaryOp::abs), values({channels}), 0, 0);
      if (which & 8) normWeight = values({channels});
      if (which & 16) normBias = values({channels});
    }
    if (which & 4) addend = values(out);
  }
};

void testConvs() {
  int64_t which = 0;
  for (const Sizes& sizes : kSizes) {
    const Shape stride = {sizes.stride, sizes.stride}, padding = {sizes.padding, sizes.padding}, dilation = {1, 1};
    const int64_t channels = sizes.weight[0];
    for (int64_t activation = 0; activation < 5; ++activation) {
      for (int run = 0; run < 5; ++run, ++which) {
        // Sums of halves are exact: the CPU's kernels for the two slots add in orders of their own.
        const Tensor src = halves(random_, sizes.src, DType::float32), weight = halves(random_, sizes.weight, DType::float32);
        const Shape out = ops::conv2dFused(src, weight, {}, {}, {}, {}, {}, 0, {}, stride, padding, dilation, sizes.groups, 0).shape();
        const Steps s(channels, out, which);
        same("conv2dFused",
             ops::conv2dFused(src, weight, s.bias, s.mean, s.variance, s.normWeight, s.normBias, kEps, s.addend, stride, padding, dilation,
                              sizes.groups, activation),
             ops::conv2dFused(there(src), there(weight), there(s.bias), there(s.mean), there(s.variance), there(s.normWeight),
                              there(s.normBias), kEps, there(s.addend), stride, padding, dilation, sizes.groups, activation));

        const Tensor small = codes(sizes.weight), factor = exactScales({which % 2 ? channels : 1}, DType::float32);
        same("conv2dWeightOnly",
             ops::conv2dWeightOnly(src, small, factor, s.bias, s.mean, s.variance, s.normWeight, s.normBias, kEps, s.addend, stride,
                                   padding, dilation, sizes.groups, activation),
             ops::conv2dWeightOnly(there(src), there(small), there(factor), there(s.bias), there(s.mean), there(s.variance),
                                   there(s.normWeight), there(s.normBias), kEps, there(s.addend), stride, padding, dilation, sizes.groups,
                                   activation));

        // Float inputs are quantized, and results are where a scale is given for them.
        const bool quantizes = which % 3 == 0;
        const Tensor input = quantizes ? src : codes(sizes.src), kernel = codes(sizes.weight);
        const Tensor srcScale = exactScales({1}, DType::float32), scale = exactScales({which % 2 ? channels : 1}, DType::float32);
        const auto outScale = which % 5 < 2 ? std::optional(exactScales({1}, DType::float32)) : std::nullopt;
        same("conv2dInt8",
             ops::conv2dInt8(input, srcScale, kernel, scale, s.bias, s.mean, s.variance, s.normWeight, s.normBias, kEps, s.addend, outScale,
                             stride, padding, dilation, sizes.groups, activation),
             ops::conv2dInt8(there(input), there(srcScale), there(kernel), there(scale), there(s.bias), there(s.mean), there(s.variance),
                             there(s.normWeight), there(s.normBias), kEps, there(s.addend), there(outScale), stride, padding, dilation,
                             sizes.groups, activation));
      }
    }
  }
}

}  // namespace

int main() {
  Environment environment(false);
  const Environment::Scope scope(environment);
  testProducts();
  testNorms();
  testConvs();
  const Tensor weight = there(codes({5, 3, 3, 3}));
  CHECK(!ops::packWeight(weight).packed(), "a device without a packed form keeps rows");
  return report("fallbacks_test");
}
