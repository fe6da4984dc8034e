// Where the codes of a weight of few bits lie, and the numbers that its groups have.
#pragma once

#include "gemm.h"
#include "kernels.h"
#include "weight_bits.h"

namespace quanto::cpu {

BitsCode codeOf(const BitsWeight& weight);

// Where the codes of a weight lie, packed and not.
struct WeightForm {
  BitsCode code;
  int64_t n, k, groupSize;

  WeightForm(const BitsWeight& weight, int64_t columns, int64_t length)
      : code(codeOf(weight)), n(columns), k(length), groupSize(weight.groupSize) {}
  int64_t groups() const { return k == 0 ? 0 : k / groupSize; }
  int64_t panels() const { return (n + kBitsColumns - 1) / kBitsColumns; }
  int64_t panelBytes() const { return groups() * bitsGroupBytes(code, groupSize); }
};

// Scales and shifts [n][groups] of a panel as [groups][16] float32, those of the columns past n zero.
void transposeGroups(const FloatKernel& kernel, const Scales& scales, int64_t n, int64_t allGroups, int64_t panel, int64_t firstGroup,
                     int64_t groups, float* out);

// Both of a whole panel: the scale of what weight_bits.h streams, and the shift, which is left alone where there is none.
void panelScales(const FloatKernel& kernel, const WeightForm& at, const Scales& scale, const Scales& shift, int64_t panel, float* scales,
                 float* shifts);

// Sums of a row over each group, which the shifts are multiplied by, sumsStride apart.
void sumGroups(int64_t groups, int64_t groupSize, const float* row, float* sums, int64_t sumsStride);

}  // namespace quanto::cpu
