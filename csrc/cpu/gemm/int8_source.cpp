#include "int8_source.h"

#include <algorithm>
#include <cstring>

#include "../row_loops.h"
#include "convert.h"

namespace quanto::cpu {
namespace {

constexpr float kLargestCode = 127;

float rounded(DType dtype, float value) {
  uint16_t narrowed;
  if (dtype == DType::float32) return value;
  narrow(floatKernel(), &value, 1, &narrowed, dtype, 0, 1);
  widen(floatKernel(), &narrowed, dtype, 0, 1, 1, &value);
  return value;
}

}  // namespace

const float* CodeRows::widened(int64_t row, int64_t begin, int64_t count, float* buffer) const {
  return widenedRow(floatKernel(), {source_.data, source_.dtype, source_.rowStride, source_.columnStride}, row, begin, count, buffer);
}

float CodeRows::scaleOf(int64_t row) const {
  if (source_.scale.data) {
    float scale;
    widen(floatKernel(), source_.scale.data, source_.scale.dtype, row * source_.scale.stride, 1, 1, &scale);
    return scale;
  }
  float buffer[kStrip], largest = 0;
  for (int64_t begin = 0; begin < k_; begin += kStrip) {
    const int64_t count = std::min(kStrip, k_ - begin);
    largest = std::max(largest, rowLoops().absmax(widened(row, begin, count, buffer), count));
  }
  return rounded(source_.dtype, largest / kLargestCode);
}

// A quotient of a narrow dtype is rounded to it before it is rounded to an integer, as in ../quantize.cpp.
void CodeRows::quantize(const float* values, int64_t count, float scale, int8_t* codes) const {
  if (source_.dtype == DType::float32) {
    rowLoops().quantizeInt8(values, &scale, 0, codes, count);
    return;
  }
  constexpr float kOne = 1;
  float quotients[kStrip];
  uint16_t narrowed[kStrip];
  for (int64_t i = 0; i < count; ++i) quotients[i] = scale == 0 ? 0 : values[i] / scale;
  narrow(floatKernel(), quotients, count, narrowed, source_.dtype, 0, 1);
  widen(floatKernel(), narrowed, source_.dtype, 0, 1, count, quotients);
  rowLoops().quantizeInt8(quotients, &kOne, 0, codes, count);
}

const int8_t* CodeRows::plain(int64_t row) const {
  if (source_.dtype != DType::int8 || source_.columnStride != 1) return nullptr;
  return static_cast<const int8_t*>(source_.data) + row * source_.rowStride;
}

void CodeRows::encode(int64_t row, int64_t begin, int64_t count, float scale, int8_t* codes) const {
  if (source_.dtype != DType::int8) {
    float buffer[kStrip];
    return quantize(widened(row, begin, count, buffer), count, scale, codes);
  }
  const int8_t* in = static_cast<const int8_t*>(source_.data) + row * source_.rowStride + begin * source_.columnStride;
  for (int64_t i = 0; i < count; ++i) codes[i] = in[i * source_.columnStride];
}

const int8_t* CodeRows::codes(int64_t row, float scale, int8_t* buffer) const {
  if (const int8_t* lying = plain(row)) return lying;
  for (int64_t begin = 0; begin < k_; begin += kStrip) encode(row, begin, std::min(kStrip, k_ - begin), scale, buffer + begin);
  return buffer;
}

Int8Rows::Int8Rows(const Int8Kernel& kernel, const Int8Source& source, int64_t k, float* rowScale)
    : kernel_(kernel), rows_(source, k), k_(k), stride_(strideOf(kernel, k)), rowScale_(rowScale) {}

void Int8Rows::pack(int64_t row, char* out) const {
  const float scale = rowScale_ ? rows_.scaleOf(row) : 0;
  if (rowScale_) rowScale_[row] = scale;
  if (const int8_t* codes = rows_.plain(row)) {
    kernel_.packRow(k_, codes, out);
    pad(out);
    return;
  }
  int8_t codes[CodeRows::kStrip];
  for (int64_t begin = 0; begin < k_; begin += CodeRows::kStrip) {
    const int64_t count = std::min(CodeRows::kStrip, k_ - begin);
    rows_.encode(row, begin, count, scale, codes);
    kernel_.packRow(count, codes, out + begin * kernel_.elementBytes);
  }
  pad(out);
}

void Int8Rows::pad(char* out) const {
  std::memset(out + k_ * kernel_.elementBytes, 0, (roundUp(k_, kRowPadding) - k_) * kernel_.elementBytes);
}

}  // namespace quanto::cpu
