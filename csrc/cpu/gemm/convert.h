// Real and integer elements from and to float32, a strip at a time.
#pragma once

#include <cstdint>

#include "../../dtype.h"
#include "kernels.h"

namespace quanto::cpu {

// out[i] = float32(data[offset + i * stride])
void widen(const FloatKernel& kernel, const void* data, DType dtype, int64_t offset, int64_t stride, int64_t count, float* out);

// data[offset + i * stride] = in[i], rounded once to dtype
void narrow(const FloatKernel& kernel, const float* in, int64_t count, void* data, DType dtype, int64_t offset, int64_t stride);

}  // namespace quanto::cpu
