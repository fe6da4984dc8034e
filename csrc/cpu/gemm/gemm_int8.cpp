#include <cstring>

#include "../scratch.h"
#include "convert.h"
#include "gemm.h"
#include "int8_product.h"
#include "int8_source.h"

namespace quanto::cpu {
namespace {

struct PlainSums {
  int32_t* out;
  int64_t rowStride, columnStride;

  void operator()(const SumBlock& block) const {
    for (int64_t i = 0; i < block.rows; ++i) {
      int32_t* to = out + (block.row + i) * rowStride + block.column * columnStride;
      const int32_t* sums = block.sums + i * block.stride;
      if (columnStride == 1) {
        std::memcpy(to, sums, block.columns * sizeof(int32_t));
      } else {
        for (int64_t j = 0; j < block.columns; ++j) to[j * columnStride] = sums[j];
      }
    }
  }
};

}  // namespace

Status gemmInt8(int64_t m, int64_t n, int64_t k, const int8_t* a, int64_t aRowStride, int64_t aColumnStride, const Int8Weight& weight,
                int32_t* out, int64_t outRowStride, int64_t outColumnStride, const Int8Kernel& kernel) {
  const Int8Source source{a, DType::int8, aRowStride, aColumnStride, {}};
  return runInt8(Int8Product{kernel, m, n, k, weight}, Int8Rows(kernel, source, k, nullptr), PlainSums{out, outRowStride, outColumnStride});
}

Status gemmInt8Scaled(int64_t m, int64_t n, int64_t k, const Int8Source& a, const Int8Weight& weight, const Scales& weightScale,
                      const Int8Output& out, const Int8Kernel& kernel) {
  const FloatKernel& convert = floatKernel();
  const FloatOutput& real = out.real;
  thread_local ThreadBuffer memory;
  BufferPlan plan;
  const int64_t atRows = plan.add(m * sizeof(float)), atColumns = plan.add(n * sizeof(float)), atBias = plan.add(n * sizeof(float));
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  float* rowScale = reinterpret_cast<float*>(base + atRows);
  float* columnScale = reinterpret_cast<float*>(base + atColumns);
  float* bias = real.bias ? reinterpret_cast<float*>(base + atBias) : nullptr;
  widen(convert, weightScale.data, weightScale.dtype, 0, weightScale.stride, n, columnScale);
  if (bias) widen(convert, real.bias, real.biasDtype, 0, real.biasStride, n, bias);
  const Int8Finish finish(kernel, out, rowScale, columnScale, bias);
  return runInt8(Int8Product{kernel, m, n, k, weight}, Int8Rows(kernel, a, k, rowScale),
                 [&](const SumBlock& block) { finish.store(block); });
}

}  // namespace quanto::cpu
