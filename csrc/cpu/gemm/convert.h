// Real and integer elements from and to float32, a strip at a time, and rows of float32 turned into columns.
#pragma once

#include <cstdint>

#include "../../dtype.h"
#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

// out[i] = float32(data[offset + i * stride])
void widen(const FloatKernel& kernel, const void* data, DType dtype, int64_t offset, int64_t stride, int64_t count, float* out);

// data[offset + i * stride] = in[i], rounded once to dtype
void narrow(const FloatKernel& kernel, const float* in, int64_t count, void* data, DType dtype, int64_t offset, int64_t stride);

// Values [begin, begin + count) of a row as plain float32: themselves, or in the buffer.
const float* widenedRow(const FloatKernel& kernel, const Matrix& a, int64_t row, int64_t begin, int64_t count, float* buffer);

// out[l * outStride + i] = in[i * inStride + l] for `count` rows of length k.
void transpose(const FloatKernel& kernel, int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride);

}  // namespace quanto::cpu
