// What becomes of the sums of a convolution before they reach memory.
#pragma once

#include "../csrc/scalar_math.h"
#include "codes.h"

namespace quanto::cuda {

// In this order; each step rounds once, and what is not given is left out.
struct ConvFinish {
  Operand srcScale, scale;  // integer sums * (srcScale * scale of the channel)
  int64_t scaleStride = 0;  // 0: one for all channels
  Operand bias;
  const float *normScale = nullptr, *normShift = nullptr, *addend = nullptr;
  Activation activation = Activation::none;
  Operand out, outScale;

  ConvFinish(const View* bias, const View& out) : srcScale(nullptr), scale(nullptr), bias(bias), out(out), outScale(nullptr) {}

  void takeSums(const View& srcScale, const View& scale) {
    this->srcScale = Operand(srcScale);
    this->scale = Operand(scale);
    scaleStride = scale.shape[0] > 1 ? scale.strides[0] : 0;
  }
  void takeSteps(const View* normScale, const View* normShift, const View* addend, int32_t activation) {
    const auto floats = [](const View* view) { return view ? static_cast<const float*>(view->data) : nullptr; };
    this->normScale = floats(normScale);
    this->normShift = floats(normShift);
    this->addend = floats(addend);
    this->activation = static_cast<Activation>(activation);
  }

  // Whether float sums are the result as they are.
  bool isPlain() const { return !bias.data && !normScale && !addend && activation == Activation::none; }

  // What the outputs of one channel share.
  struct Channel {
    float scale, bias, normScale, normShift, outScale;
  };
  template <class Sum>
  QUANTO_DEVICE Channel channel(int64_t index) const {
    Channel of{};
    if constexpr (!isFloat<Sum>) of.scale = read(srcScale, 0) * read(scale, index * scaleStride);
    if (bias.given()) of.bias = read(bias, index);
    if (normScale) {
      of.normScale = normScale[index];
      of.normShift = normShift[index];
    }
    if (outScale.given()) of.outScale = read(outScale, 0);
    return of;
  }

  template <class Sum>
  QUANTO_DEVICE void store(const Channel& of, int64_t place, Sum sum) const {
    float value = static_cast<float>(sum);
    if constexpr (!isFloat<Sum>) value *= of.scale;
    if (bias.given()) value += of.bias;
    if (normScale) {
      value *= of.normScale;
      value += of.normShift;
    }
    if (addend) value += addend[place];
    if (activation == Activation::relu) value = value > 0 || value != value ? value : 0.0f;
    else if (activation != Activation::none) value = curved(value, activation);
    if (out.dtype == DType::float32) static_cast<float*>(out.data)[place] = value;
    else if (outScale.given()) static_cast<int8_t*>(out.data)[place] = codeOf(value, of.outScale);
    else storeFloat(out.data, out.dtype, place, value);
  }

 private:
  static QUANTO_DEVICE float read(const Operand& from, int64_t i) { return loadFloat(from.data, from.dtype, i); }

  // Called, not copied into every place that finishes sums. No pointer to the kernel's own operands is among their arguments: those would
  // have to leave the constant memory.
  static QUANTO_DEVICE_CALL float loadFloat(const void* data, DType dtype, int64_t i) { return load<float>(data, dtype, i); }
  static QUANTO_DEVICE_CALL void storeFloat(void* data, DType dtype, int64_t i, float value) { cuda::store(data, dtype, i, value); }
  static QUANTO_DEVICE_CALL int8_t codeOf(float value, float scale) { return int8Code(value, scale, DType::float32); }
  static QUANTO_DEVICE_CALL float curved(float x, Activation activation) {
    switch (activation) {
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
};

}  // namespace quanto::cuda
