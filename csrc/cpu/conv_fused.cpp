// The slots that convolve and finish in one pass over memory.
#include "conv_fused.h"

#include <algorithm>

#include "conv_pack.h"
#include "elements.h"
#include "gemm/workspace.h"
#include "kernels.h"
#include "loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

// `count` floats of a view of one dim, which may hold one value for all.
void readAll(const View& view, int64_t count, float* out) {
  const Reader<float> reader(view, 1);
  const int64_t step = elementCount(view) == 1 ? 0 : 1;
  for (int64_t i = 0; i < count; ++i) out[i] = reader.readOne(i * step);
}

float readNumber(const View* view) { return view ? Reader<float>(*view, 1).readOne(0) : 1.0f; }

}  // namespace

Status convolve(const ConvShape& shape, const ConvOperands& operands, const View& out, Activation activation) {
  const View& weight = *operands.weight;
  const bool integers = operands.srcScale != nullptr;
  const int64_t channels = shape.groups * shape.outChannels;
  BufferPlan plan;
  const int64_t panelChannels = roundUp(channels, kConvPanel);
  const int64_t atScale = plan.add(operands.scale ? panelChannels * sizeof(float) : 0);
  const int64_t atBias = plan.add(operands.bias ? channels * sizeof(float) : 0);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;

  ConvFinish finish{};
  float* scale = operands.scale ? reinterpret_cast<float*>(base + atScale) : nullptr;
  if (scale) {
    readAll(*operands.scale, channels, scale);
    std::fill(scale + channels, scale + panelChannels, 0.0f);
  }
  // Integer sums are scaled, weights between real values before.
  if (integers) {
    const float srcScale = readNumber(operands.srcScale);
    for (int64_t i = 0; i < channels; ++i) scale[i] = srcScale * scale[i];
    finish.scale = scale;
  }
  if (operands.bias) {
    auto* bias = reinterpret_cast<float*>(base + atBias);
    readAll(*operands.bias, channels, bias);
    finish.bias = bias;
  }
  const auto floats = [](const View* view) { return view ? static_cast<const float*>(view->data) : nullptr; };
  finish.normScale = floats(operands.normScale);
  finish.normShift = floats(operands.normShift);
  finish.addend = floats(operands.addend);
  finish.relu = activation == Activation::relu;
  finish.codeScale = readNumber(operands.outScale);

  const ConvInput input = !integers ? ConvInput::real : dtypeOf(*operands.src) == DType::int8 ? ConvInput::codes : ConvInput::quantized;
  const DirectConv conv{
      shape, integers ? convInt8Kernel() : convFloatKernel(), input, readNumber(operands.srcScale), *operands.src, finish, activation, out};
  return convolveDirectly(conv, integers ? int8ConvWeights(conv, weight) : floatConvWeights(conv, weight, scale));
}

Status conv2dFused(Queue*, const View* src, const View* weight, const View* bias, const View* normScale, const View* normShift,
                   const View* addend, const View* out, const Window* window, int32_t activation) {
  const ConvOperands operands{.src = src, .weight = weight, .bias = bias, .normScale = normScale, .normShift = normShift, .addend = addend};
  return convolve(ConvShape(*src, *out, *window), operands, *out, static_cast<Activation>(activation));
}

Status conv2dWeightOnly(Queue* queue, const View* src, const View* weight, const View* scale, const View* bias, const View* normScale,
                        const View* normShift, const View* addend, const View* out, const Window* window, int32_t activation) {
  const ConvShape shape(*src, *out, *window);
  const bool plain = !normScale && !addend && static_cast<Activation>(activation) == Activation::none;
  if (plain && shape.isProduct()) {
    thread_local ThreadBuffer memory;
    const int64_t channels = shape.groups * shape.outChannels;
    auto* scales = static_cast<float*>(memory.get(channels * static_cast<int64_t>(sizeof(float))));
    if (!scales) return Status::outOfMemory;
    readAll(*scale, channels, scales);
    const float* values = dequantizeConv(shape, *weight, scales);
    if (!values) return Status::outOfMemory;
    View dense = *weight;
    dense.data = const_cast<float*>(values);
    dense.dtype = static_cast<int32_t>(DType::float32);
    dense.layout = Layout::strided;
    return conv2d(queue, src, &dense, bias, out, window);
  }
  const ConvOperands operands{
      .src = src, .weight = weight, .scale = scale, .bias = bias, .normScale = normScale, .normShift = normShift, .addend = addend};
  return convolve(shape, operands, *out, static_cast<Activation>(activation));
}

Status conv2dInt8(Queue*, const View* src, const View* srcScale, const View* weight, const View* scale, const View* bias,
                  const View* normScale, const View* normShift, const View* addend, const View* out, const View* outScale,
                  const Window* window, int32_t activation) {
  const ConvOperands operands{src, srcScale, weight, scale, bias, normScale, normShift, addend, outScale};
  return convolve(ConvShape(*src, *out, *window), operands, *out, static_cast<Activation>(activation));
}

Status packConvWeight(Queue*, const View* src, const View* out) {
  packConv(src->shape[0], src->shape[1], src->shape[2] * src->shape[3], static_cast<const int8_t*>(src->data), out->data);
  return Status::ok;
}

Status unpackConvWeight(Queue*, const View* src, const View* out) {
  unpackConv(out->shape[0], out->shape[1], out->shape[2] * out->shape[3], src->data, static_cast<int8_t*>(out->data));
  return Status::ok;
}

}  // namespace quanto::cpu
