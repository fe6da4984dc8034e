#include "int8_output.h"

#include "../elementwise.h"
#include "../row_loops.h"
#include "convert.h"

namespace quanto::cpu {
namespace {

UnaryLoop<float> loopOf(Activation activation) {
  constexpr UnaryOp kFunctions[] = {UnaryOp::relu, UnaryOp::relu, UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::silu};
  return elementwiseLoops<float>().unary[static_cast<int>(kFunctions[static_cast<int>(activation)])];
}

void roundTo(DType dtype, float* values, int64_t count) {
  if (dtype == DType::float32) return;
  uint16_t narrowed[kMaxSums];
  narrow(floatKernel(), values, count, narrowed, dtype, 0, 1);
  widen(floatKernel(), narrowed, dtype, 0, 1, count, values);
}

// codes = values / scale as ../quantize.cpp has it.
void encode(DType dtype, float* values, int64_t count, float scale, int8_t* codes) {
  constexpr float kOne = 1;
  if (dtype != DType::float32) {
    for (int64_t i = 0; i < count; ++i) values[i] = scale == 0 ? 0 : values[i] / scale;
    roundTo(dtype, values, count);
    scale = kOne;
  }
  rowLoops().quantizeInt8(values, &scale, 0, codes, count);
}

}  // namespace

Int8Finish::Int8Finish(const Int8Kernel& kernel, const Int8Output& out, const float* rowScale, const float* columnScale, const float* bias)
    : kernel_(kernel), out_(out), rowScale_(rowScale), columnScale_(columnScale), bias_(bias) {
  const Scales& scale = out.codeScale;
  if (scale.data) widen(floatKernel(), scale.data, scale.dtype, 0, 1, 1, &codeScale_);
  plain_ = out.real.dtype == DType::float32 && out.real.columnStride == 1 && out.activation == Activation::none;
}

void Int8Finish::store(const SumBlock& block) const {
  const FloatOutput& real = out_.real;
  const int64_t first = block.row * real.rowStride + block.column * real.columnStride;
  ScaledTile scaled{block.rows,
                    block.columns,
                    block.sums,
                    block.stride,
                    rowScale_ + block.row,
                    columnScale_ + block.column,
                    bias_ ? bias_ + block.column : nullptr,
                    nullptr,
                    0};
  if (plain_) {
    scaled.out = static_cast<float*>(real.data) + first;
    scaled.outStride = real.rowStride;
    kernel_.scale(scaled);
    return;
  }
  alignas(64) float values[kMaxSums];
  const int64_t count = block.rows * block.columns;
  scaled.out = values;
  scaled.outStride = block.columns;
  kernel_.scale(scaled);
  const bool codes = real.dtype == DType::int8;
  if (out_.activation != Activation::none) {
    roundTo(out_.between, values, count);
    loopOf(out_.activation)(values, values, count, 0, 0);
  }
  if (!codes) {
    for (int64_t i = 0; i < block.rows; ++i)
      narrow(floatKernel(), values + i * block.columns, block.columns, real.data, real.dtype, first + i * real.rowStride,
             real.columnStride);
    return;
  }
  roundTo(out_.between, values, count);
  int8_t encoded[kMaxSums];
  encode(out_.between, values, count, codeScale_, encoded);
  auto* target = static_cast<int8_t*>(real.data) + first;
  for (int64_t i = 0; i < block.rows; ++i) {
    for (int64_t j = 0; j < block.columns; ++j) target[i * real.rowStride + j * real.columnStride] = encoded[i * block.columns + j];
  }
}

}  // namespace quanto::cpu
