// Products with weights of few bits on units that multiply whole tiles: each group's codes are widened for as long as they stay in a core's
// caches, and its sums are scaled into float32. Of int8 rows sums are exact integers. Of real rows they are float32 sums of exact products:
// codes are exact in bfloat16, and a float32 is split into three of them, or rounded to two or one where less precision is asked for. What
// is below 2^-126 in a term counts as zero.
#pragma once

#include "gemm.h"
#include "weight_bits.h"

namespace quanto::cpu {

Status gemmBitsByTerms(int64_t m, int64_t n, int64_t k, const Matrix& a, const BitsWeight& weight, const Scales& scale, const Scales& shift,
                       const FloatOutput& out, Precision precision, const BitsTiles& tiles);

// gemmBitsInt8, to the bit.
Status gemmBitsInt8ByTiles(int64_t m, int64_t n, int64_t k, const Int8Source& a, const BitsWeight& weight, const Scales& scale,
                           const Scales& shift, const FloatOutput& out, const BitsTiles& tiles);

}  // namespace quanto::cpu
