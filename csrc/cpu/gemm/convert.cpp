#include "convert.h"

#include <cstring>

namespace quanto::cpu {
namespace {

template <DType dtype>
void widenStrip(const void* data, int64_t stride, int64_t count, float* out) {
  const auto* in = static_cast<const typename StorageOf<dtype>::type*>(data);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) out[i] = toFloat<dtype>(in[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = toFloat<dtype>(in[i * stride]);
  }
}

template <DType dtype>
void narrowStrip(const float* in, int64_t count, void* data, int64_t stride) {
  auto* out = static_cast<typename StorageOf<dtype>::type*>(data);
  for (int64_t i = 0; i < count; ++i) out[i * stride] = fromFloat<dtype>(in[i]);
}

struct Strips {
  void (*widen)(const void* data, int64_t stride, int64_t count, float* out);
  void (*narrow)(const float* in, int64_t count, void* data, int64_t stride);
};
constexpr Strips kStrips[] = {
#define DTYPE(id, ...) {widenStrip<DType::id>, narrowStrip<DType::id>},
#include "../../dtypes.def"
#undef DTYPE
};

}  // namespace

void widen(const FloatKernel& kernel, const void* data, DType dtype, int64_t offset, int64_t stride, int64_t count, float* out) {
  const void* first = static_cast<const char*>(data) + offset * sizeOf(dtype);
  if (stride == 1 && dtype == DType::float16 && kernel.widenFloat16) {
    kernel.widenFloat16(count, static_cast<const uint16_t*>(first), out);
  } else {
    kStrips[static_cast<int>(dtype)].widen(first, stride, count, out);
  }
}

void narrow(const FloatKernel& kernel, const float* in, int64_t count, void* data, DType dtype, int64_t offset, int64_t stride) {
  void* first = static_cast<char*>(data) + offset * sizeOf(dtype);
  if (stride == 1 && dtype == DType::float16 && kernel.narrowFloat16) {
    kernel.narrowFloat16(count, in, static_cast<uint16_t*>(first));
  } else {
    kStrips[static_cast<int>(dtype)].narrow(in, count, first, stride);
  }
}

const float* widenedRow(const FloatKernel& kernel, const Matrix& a, int64_t row, int64_t begin, int64_t count, float* buffer) {
  const int64_t offset = row * a.rowStride + begin * a.columnStride;
  if (a.dtype == DType::float32 && a.columnStride == 1) return static_cast<const float*>(a.data) + offset;
  widen(kernel, a.data, a.dtype, offset, a.columnStride, count, buffer);
  return buffer;
}

void transpose(const FloatKernel& kernel, int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride) {
  if (kernel.transpose) {
    kernel.transpose(count, k, in, inStride, out, outStride);
    return;
  }
  for (int64_t l = 0; l < k; ++l) {
    for (int64_t i = 0; i < count; ++i) out[l * outStride + i] = in[i * inStride + l];
  }
}

}  // namespace quanto::cpu
