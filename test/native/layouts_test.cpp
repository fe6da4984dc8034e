// Structured ops, with valid arguments of random sizes: the same values for operands that lie in memory in any other way.
#include <functional>

#include "ops/families.h"
#include "tensors.h"

using namespace quanto;
using namespace check;
using ops::withSize;

namespace {

using Tensors = std::vector<Tensor>;

struct Draw {
  Random random;
  int64_t size(int64_t largest) { return 1 + below(random, largest); }
  DType real() {
    static constexpr DType kDTypes[] = {DType::float32, DType::float32, DType::float16, DType::bfloat16};
    return kDTypes[below(random, std::ssize(kDTypes))];
  }
  Tensor values(const Shape& shape, DType dtype) { return halves(random, shape, dtype); }
  Tensor positive(const Shape& shape) {
    return ops::binaryScalar(static_cast<int64_t>(BinaryOp::add), values(shape, DType::float32), 3, false);
  }
  Tensor indices(const Shape& shape, int64_t end) {
    std::vector<int64_t> places(static_cast<size_t>(shape.numel()));
    for (int64_t& place : places) place = below(random, end);
    return ops::toDType(make(places, shape, DType::int64), below(random, 2) ? DType::int64 : DType::int32);
  }
};

// Calls with the operands as they are, and with each laid out anew.
void layouts(const char* name, Draw& draw, const Tensors& operands, const std::function<Tensors(const Tensors&)>& call) {
  Tensors scattered;
  for (const Tensor& operand : operands) scattered.push_back(scatterInMemory(draw.random, operand));
  try {
    const Tensors expected = call(operands), got = call(scattered);
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(alike(expected[i], got[i]), "%s: result %zu of shape %s depends on the layout", name, i, expected[i].shape().str().c_str());
  } catch (const Error& error) {
    CHECK(false, "%s refused valid arguments: %s", name, error.what());
  }
}

void index(Draw& draw) {
  Shape shape = {draw.size(4), draw.size(4), draw.size(4)};
  const DType dtype = static_cast<DType>(below(draw.random, kDTypeCount));
  const int axis = static_cast<int>(below(draw.random, 3));
  const Tensor src = draw.values(shape, dtype);
  Shape smaller;
  for (int64_t size : shape) smaller.push(draw.size(size));
  const Tensor places = draw.indices(withSize(smaller, axis, draw.size(6)), shape[axis]);
  const Tensor list = draw.indices({draw.size(6)}, shape[axis]);
  layouts("gather", draw, {src, places}, [&](const Tensors& t) { return Tensors{ops::gather(t[0], axis, t[1])}; });
  layouts("scatterAdd", draw, {src, places, draw.values(places.shape(), dtype)},
          [&](const Tensors& t) { return Tensors{ops::scatterAdd(t[0], axis - 3, t[1], t[2])}; });
  layouts("indexSelect", draw, {src, list}, [&](const Tensors& t) { return Tensors{ops::indexSelect(t[0], axis, t[1])}; });
  layouts("indexAdd", draw, {src, list, draw.values(withSize(shape, axis, list.dim(0)), dtype)},
          [&](const Tensors& t) { return Tensors{ops::indexAdd(t[0], axis, t[1], t[2])}; });
  const int64_t k = below(draw.random, shape[axis] + 1);
  layouts("topk", draw, {src}, [&](const Tensors& t) { return ops::topk(t[0], k, axis, k % 2); });
  layouts("triangular", draw, {src}, [&](const Tensors& t) { return Tensors{ops::triangular(t[0], k - 2, k % 2)}; });
  layouts("argReduce", draw, {src},
          [&](const Tensors& t) { return Tensors{ops::argReduce(static_cast<int64_t>(ReduceOp::max), t[0], axis, k % 2)}; });

  const int64_t rows = draw.size(6), width = draw.size(5);
  const DType real = draw.real();
  const Tensor words = draw.indices({draw.size(3), draw.size(3)}, rows);
  layouts("embedding", draw, {draw.values({rows, width}, real), words},
          [&](const Tensors& t) { return Tensors{ops::embedding(t[0], t[1])}; });
  layouts("embeddingBackward", draw, {draw.values({words.dim(0), words.dim(1), width}, real), words},
          [&](const Tensors& t) { return Tensors{ops::embeddingBackward(t[0], t[1], rows)}; });
}

void norm(Draw& draw) {
  const Shape shape = {draw.size(4), draw.size(4), draw.size(20)};
  const DType dtype = draw.real();
  const Tensor src = draw.values(shape, dtype), dout = draw.values(shape, dtype);
  const int64_t dims = draw.size(3);
  const Shape normalized(shape.begin() + (3 - dims), static_cast<int>(dims));
  const Tensor weight = draw.values(normalized, draw.real()), bias = draw.values(normalized, dtype);
  layouts("layerNorm", draw, {src, weight, bias}, [&](const Tensors& t) { return ops::layerNorm(t[0], t[1], t[2], dims, 1e-3); });
  const Tensors stats = ops::layerNorm(src, weight, bias, dims, 1e-3);
  layouts("layerNormBackward", draw, {dout, src, weight, stats[1], stats[2]},
          [&](const Tensors& t) { return ops::layerNormBackward(t[0], t[1], t[2], t[3], t[4], dims); });
  layouts("layerNormBackward", draw, {dout, src, stats[1], stats[2]},
          [&](const Tensors& t) { return ops::layerNormBackward(t[0], t[1], std::nullopt, t[2], t[3], dims); });
  const Tensor scale = draw.values({shape[2]}, draw.real());
  layouts("rmsNorm", draw, {src, scale}, [&](const Tensors& t) { return ops::rmsNorm(t[0], t[1], 1e-3); });
  const Tensor rstd = ops::rmsNorm(src, scale, 1e-3)[1];
  layouts("rmsNormBackward", draw, {dout, src, scale, rstd},
          [&](const Tensors& t) { return ops::rmsNormBackward(t[0], t[1], t[2], t[3]); });
  const Tensor mean = draw.values({shape[1]}, draw.real()), factor = draw.values({shape[1]}, draw.real());
  const Tensor variance = ops::unary(static_cast<int64_t>(UnaryOp::abs), draw.values({shape[1]}, DType::float32), 0, 0);
  layouts("batchNorm", draw, {src, mean, variance, factor},
          [&](const Tensors& t) { return Tensors{ops::batchNorm(t[0], t[1], t[2], t[3], t[1], 1e-3)}; });
  layouts("softmaxBackward", draw, {dout, src}, [&](const Tensors& t) { return Tensors{ops::softmaxBackward(t[0], t[1], dims - 1)}; });
}

void conv(Draw& draw) {
  const int64_t groups = draw.size(3), inputs = groups * draw.size(3), outputs = groups * draw.size(3);
  const DType dtype = draw.real();
  const Shape kernel = {draw.size(3), draw.size(3)}, stride = {draw.size(3), draw.size(3)}, dilation = {draw.size(2), draw.size(2)};
  const Shape padding = {below(draw.random, 3), below(draw.random, 3)};
  Shape shape = {draw.size(3), inputs, 5 + draw.size(4), 5 + draw.size(4)};
  if (below(draw.random, 2)) shape = {shape[1], shape[2], shape[3]};
  const Tensor src = draw.values(shape, dtype), weight = draw.values({outputs, inputs / groups, kernel[0], kernel[1]}, dtype);
  const auto forward = [&](const Tensors& t) { return Tensors{ops::conv2d(t[0], t[1], t[2], stride, padding, dilation, groups)}; };
  const Tensor bias = draw.values({outputs}, DType::float32);
  layouts("conv2d", draw, {src, weight, bias}, forward);
  const Tensor dout = draw.values(forward({src, weight, bias})[0].shape(), dtype);
  layouts("conv2dBackwardInput", draw, {dout, weight},
          [&](const Tensors& t) { return Tensors{ops::conv2dBackwardInput(t[0], t[1], shape, stride, padding, dilation, groups)}; });
  layouts("conv2dBackwardWeight", draw, {dout, src}, [&](const Tensors& t) {
    return Tensors{ops::conv2dBackwardWeight(t[0], t[1], weight.shape(), stride, padding, dilation, groups)};
  });

  const Shape edge = {kernel[0] / 2, kernel[1] / 2};
  layouts("maxPool2d", draw, {src}, [&](const Tensors& t) { return ops::maxPool2d(t[0], kernel, stride, edge, dilation); });
  const Tensors pooled = ops::maxPool2d(src, kernel, stride, edge, dilation);
  layouts("maxPool2dBackward", draw, pooled, [&](const Tensors& t) { return Tensors{ops::maxPool2dBackward(t[0], t[1], shape)}; });
  const bool count = below(draw.random, 2);
  layouts("avgPool2d", draw, {src}, [&](const Tensors& t) { return Tensors{ops::avgPool2d(t[0], kernel, stride, edge, count)}; });
  layouts("avgPool2dBackward", draw, {ops::avgPool2d(src, kernel, stride, edge, count)},
          [&](const Tensors& t) { return Tensors{ops::avgPool2dBackward(t[0], shape, kernel, stride, edge, count)}; });
  layouts("adaptiveAvgPool2d", draw, {src}, [&](const Tensors& t) { return Tensors{ops::adaptiveAvgPool2d(t[0], kernel)}; });
  layouts("adaptiveAvgPool2dBackward", draw, {ops::adaptiveAvgPool2d(src, kernel)},
          [&](const Tensors& t) { return Tensors{ops::adaptiveAvgPool2dBackward(t[0], shape)}; });
}

void matmul(Draw& draw) {
  const int64_t batch = draw.size(3), m = draw.size(6), n = draw.size(6), k = draw.size(9);
  const DType dtype = draw.real();
  layouts("matmul", draw, {draw.values({batch, m, k}, dtype), draw.values({k, n}, dtype)},
          [&](const Tensors& t) { return Tensors{ops::matmul(t[0], t[1])}; });
  const Tensor codes = draw.values({batch, m, k}, DType::int8), weight = draw.values({n, k}, DType::int8);
  layouts("intMatmul", draw, {codes, draw.values({batch, k, n}, DType::int8)},
          [&](const Tensors& t) { return Tensors{ops::intMatmul(t[0], t[1])}; });
  layouts("intMatmulScaled", draw, {codes, draw.values({batch, k, n}, DType::int8), draw.positive({1})},
          [&](const Tensors& t) { return Tensors{ops::intMatmulScaled(t[0], t[1], t[2], dtype)}; });
  layouts("linear", draw, {draw.values({batch, m, k}, dtype), draw.values({n, k}, dtype), draw.values({n}, DType::float32)},
          [&](const Tensors& t) { return Tensors{ops::linear(t[0], t[1], t[2])}; });
  const Tensor scale = draw.positive({n, 1});
  layouts("linearWeightOnly", draw, {draw.values({batch, m, k}, dtype), weight, scale},
          [&](const Tensors& t) { return Tensors{ops::linearWeightOnly(t[0], t[1], t[2], std::nullopt, 0)}; });
  layouts("linearInt8", draw, {codes, draw.positive({batch, m}), weight, scale, draw.values({n}, DType::float32)},
          [&](const Tensors& t) { return Tensors{ops::linearInt8(t[0], t[1], t[2], t[3], t[4], std::nullopt, 0)}; });
  layouts("packWeight", draw, {weight}, [&](const Tensors& t) { return Tensors{ops::unpackWeight(ops::packWeight(t[0]))}; });
}

void quantize(Draw& draw) {
  const Shape shape = {draw.size(5), draw.size(5), draw.size(5)};
  const DType dtype = draw.real();
  const Tensor src = draw.values(shape, dtype), scale = ops::toDType(draw.positive({1, shape[1], 1}), dtype);
  layouts("quantize", draw, {src, scale}, [&](const Tensors& t) { return Tensors{ops::quantize(t[0], t[1], DType::int8)}; });
  layouts("dequantize", draw, {ops::quantize(src, scale, DType::int8), scale},
          [&](const Tensors& t) { return Tensors{ops::dequantize(t[0], t[1])}; });
  layouts("absmaxScale", draw, {src}, [&](const Tensors& t) { return Tensors{ops::absmaxScale(t[0], {1}, 127)}; });
}

// In place: parameter and state are row-major, the gradient need not be.
void optimizer(Draw& draw) {
  const Shape shape = {draw.size(5), draw.size(9)};
  const Tensor parameter = draw.values(shape, draw.real()), gradient = draw.values(shape, draw.real());
  const auto state = [&] { return ops::full(shape, 0.25, DType::float32, cpuDevice()); };
  layouts("sgdStep", draw, {gradient}, [&](const Tensors& t) {
    const Tensors changed = {ops::clone(parameter), state()};
    ops::sgdStep(changed[0], t[0], changed[1], 0.1, 0.9, 0, 0.01, true, false);
    return changed;
  });
  layouts("adamStep", draw, {gradient}, [&](const Tensors& t) {
    const Tensors changed = {ops::clone(parameter), state(), state()};
    ops::adamStep(changed[0], t[0], changed[1], changed[2], 0.1, 0.9, 0.99, 1e-8, 0.01, true, 3);
    return changed;
  });
  layouts("adadeltaStep", draw, {gradient}, [&](const Tensors& t) {
    const Tensors changed = {ops::clone(parameter), state(), state()};
    ops::adadeltaStep(changed[0], t[0], changed[1], changed[2], 1, 0.9, 1e-6, 0.01);
    return changed;
  });
}

}  // namespace

int main() {
  Environment environment(false);
  const Environment::Scope scope(environment);
  Draw draw{Random(7)};
  for (int round = 0; round < 100; ++round) {
    index(draw);
    norm(draw);
    conv(draw);
    matmul(draw);
    quantize(draw);
    optimizer(draw);
  }
  return check::report("layouts_test");
}
