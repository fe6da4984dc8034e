// Rearranging and converting for the float32 implementations of AVX2 and later.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

// See FloatKernel's fields of the same names.
void widenInt8Avx2(int64_t k, const int8_t* codes, float* out, int64_t outStride);
void transposeAvx2(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride);
void widenFloat16Avx2(int64_t count, const uint16_t* in, float* out);
void narrowFloat16Avx2(int64_t count, const float* in, uint16_t* out);

}  // namespace quanto::cpu
