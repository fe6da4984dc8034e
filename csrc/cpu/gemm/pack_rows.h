// The forms in which the int8 kernels read their left operand: [ceil(k / 4)][rows][4].
#pragma once

#include <stdint.h>

namespace quanto::cpu {

void packRowsSigned8(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out);
// Each value + 128, for unsigned x signed instructions; the padding is 0 there too, its weights being 0.
void packRowsUnsigned8(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out);
void packRowsSigned16(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out);

}  // namespace quanto::cpu
