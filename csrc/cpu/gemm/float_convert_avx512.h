// Copying loops of FloatKernel in AVX-512 registers.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

void transposeAvx512(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride);
void widenInt8Avx512(int64_t k, const int8_t* codes, float* out, int64_t outStride);

}  // namespace quanto::cpu
