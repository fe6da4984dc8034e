#include <algorithm>
#include <cstring>

#include "../scratch.h"
#include "convert.h"
#include "float_product.h"
#include "gemm_digits.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Widened to float32 and zero padded to whole tiles.
void widenPadded(const FloatKernel& kernel, const void* data, DType dtype, int64_t stride, int64_t count, int64_t padded, float* out) {
  widen(kernel, data, dtype, 0, stride, count, out);
  std::fill(out + count, out + padded, 0.0f);
}

Status run(FloatProduct product, const Scales* scales) {
  if (product.m == 0 || product.n == 0) return Status::ok;
  const FloatOutput& out = product.out;
  thread_local ThreadBuffer memory;
  const int64_t padded = roundUp(product.n, product.kernel.columns);
  float* columns = nullptr;
  if (scales || out.bias) {
    columns = static_cast<float*>(memory.get(2 * padded * sizeof(float)));
    if (!columns) return Status::outOfMemory;
  }
  if (scales) {
    widenPadded(product.kernel, scales->data, scales->dtype, scales->stride, product.n, padded, columns);
    product.scale = columns;
  }
  if (out.bias) {
    widenPadded(product.kernel, out.bias, out.biasDtype, out.biasStride, product.n, padded, columns + padded);
    product.bias = columns + padded;
  }
  return isSkinny(product) ? runSkinny(product) : runPacked(product);
}

}  // namespace

void finishRow(const FloatProduct& product, int64_t i, int64_t j, int64_t count, float* sums) {
  const FloatOutput& out = product.out;
  const bool plain = out.dtype == DType::float32 && out.columnStride == 1;
  const float *scale = product.scale ? product.scale + j : nullptr, *bias = product.bias ? product.bias + j : nullptr;
  if (scale) {
    for (int64_t l = 0; l < count; ++l) sums[l] *= scale[l];
  }
  if (plain) {
    float* __restrict to = static_cast<float*>(out.data) + i * out.rowStride + j;
    if (bias) {
      for (int64_t l = 0; l < count; ++l) to[l] = sums[l] + bias[l];
    } else {
      std::memcpy(to, sums, count * sizeof(float));
    }
    return;
  }
  if (bias) {
    for (int64_t l = 0; l < count; ++l) sums[l] += bias[l];
  }
  narrow(product.kernel, sums, count, out.data, out.dtype, i * out.rowStride + j * out.columnStride, out.columnStride);
}

Status gemmFloat(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, const FloatOutput& out) {
  return run({floatKernel(), m, n, k, a, b, nullptr, nullptr, nullptr, out, nullptr}, nullptr);
}

Status gemmFloat(int64_t m, int64_t n, int64_t k, const Matrix& a, const TileSource& b, const FloatOutput& out) {
  return run({floatKernel(), m, n, k, a, {}, nullptr, nullptr, nullptr, out, &b}, nullptr);
}

Status gemmWeightOnly(int64_t m, int64_t n, int64_t k, const Matrix& a, const Int8Weight& weight, const Scales& weightScale,
                      const FloatOutput& out, Precision precision, const Int8Kernel& kernel) {
  if (takesDigits(kernel, m, n, k, precision)) {
    bool fit = false;
    const Status status = gemmByDigits(m, n, k, a, weight, weightScale, out, precision, kernel, &fit);
    if (status != Status::ok || fit) return status;
  }
  const Matrix transposed{weight.data, DType::int8, weight.columnStride, weight.rowStride};
  return run({floatKernel(), m, n, k, a, transposed, weight.packed ? weight.data : nullptr, nullptr, nullptr, out, nullptr}, &weightScale);
}

}  // namespace quanto::cpu
