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
                 float* offsets) {
  const int64_t count = at.groups() * kBitsColumns;
  transposeGroups(kernel, scale, at.n, at.groups(), panel, 0, at.groups(), scales);
  if (shift.data) {
    const auto center = static_cast<float>(bitsCenter(at.code));
    transposeGroups(kernel, shift, at.n, at.groups(), panel, 0, at.groups(), offsets);
    for (int64_t i = 0; i < count; ++i) offsets[i] = center * scales[i] - offsets[i];
  }
  const float factor = bitsOf(at.code) == 8 ? float8Factor(at.code) : 1;
  if (factor != 1) {
    for (int64_t i = 0; i < count; ++i) scales[i] *= factor;
  }
}

void sumGroups(int64_t rows, int64_t groups, int64_t groupSize, const float* a, int64_t aStride, float* sums) {
  constexpr int kLanes = 16;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t group = 0; group < groups; ++group) {
      const float* values = a + i * aStride + group * groupSize;
      float lanes[kLanes] = {}, sum = 0;
      int64_t l = 0;
      for (; l + kLanes <= groupSize; l += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += values[l + lane];
      }
      for (float lane : lanes) sum += lane;
      for (; l < groupSize; ++l) sum += values[l];
      sums[i * groups + group] = sum;
    }
  }
}

}  // namespace quanto::cpu
