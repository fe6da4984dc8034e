#include "weight_form.h"

#include <algorithm>

#include "convert.h"
#include "weight_bits_loops.h"

namespace quanto::cpu {

BitsCode codeOf(const BitsWeight& weight) {
  switch (weight.dtype) {
    case DType::float8_e4m3fn:
      return BitsCode::e4m3fn;
    case DType::float8_e4m3fnuz:
      return BitsCode::e4m3fnuz;
    case DType::float8_e5m2:
      return BitsCode::e5m2;
    default:
      return weight.bits == 2 ? BitsCode::int2 : BitsCode::int4;
  }
}

void transposeGroups(const FloatKernel& kernel, const Scales& scales, int64_t n, int64_t allGroups, int64_t panel, int64_t firstGroup,
                     int64_t groups, float* out) {
  const int64_t first = panel * kBitsColumns, columns = std::min<int64_t>(kBitsColumns, n - first);
  if (columns < kBitsColumns) std::fill(out, out + groups * kBitsColumns, 0.0f);
  const int64_t offset = first * allGroups + firstGroup;
  if (scales.dtype == DType::float32 && kernel.transpose) {
    kernel.transpose(columns, groups, static_cast<const float*>(scales.data) + offset, allGroups, out, kBitsColumns);
    return;
  }
  constexpr int64_t kStrip = 128;
  float strip[kStrip];
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t begin = 0; begin < groups; begin += kStrip) {
      const int64_t count = std::min(kStrip, groups - begin);
      widen(kernel, scales.data, scales.dtype, offset + j * allGroups + begin, 1, count, strip);
      for (int64_t g = 0; g < count; ++g) out[(begin + g) * kBitsColumns + j] = strip[g];
    }
  }
}

void panelScales(const FloatKernel& kernel, const WeightForm& at, const Scales& scale, const Scales& shift, int64_t panel, float* scales,
                 float* shifts) {
  transposeGroups(kernel, scale, at.n, at.groups(), panel, 0, at.groups(), scales);
  if (shift.data) transposeGroups(kernel, shift, at.n, at.groups(), panel, 0, at.groups(), shifts);
  const float factor = bitsOf(at.code) == 8 ? float8Factor(at.code) : 1;
  if (factor == 1) return;
  for (int64_t i = 0; i < at.groups() * kBitsColumns; ++i) scales[i] *= factor;
}

void sumGroups(int64_t groups, int64_t groupSize, const float* row, float* sums, int64_t sumsStride) {
  constexpr int kLanes = 16;
  for (int64_t group = 0; group < groups; ++group, row += groupSize, sums += sumsStride) {
    float lanes[kLanes] = {};
    int64_t l = 0;
    for (; l + kLanes <= groupSize; l += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += row[l + lane];
    }
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    for (; l < groupSize; ++l) lanes[0] += row[l];
    *sums = lanes[0];
  }
}

}  // namespace quanto::cpu
