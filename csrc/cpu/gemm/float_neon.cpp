#include <arm_neon.h>

#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

struct Vector {
  using Type = float32x4_t;
  static constexpr int kLanes = 4, kDotColumns = 4;
  static Type zero() { return vdupq_n_f32(0); }
  static Type broadcast(const float& value) { return vdupq_n_f32(value); }
  static Type load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, Type value) { vst1q_f32(to, value); }
  static Type add(Type a, Type b) { return vaddq_f32(a, b); }
  static Type mul(Type a, Type b) { return vmulq_f32(a, b); }
  static Type fma(Type a, Type b, Type c) { return vfmaq_f32(c, a, b); }
  static float sumLanes(Type value) { return vaddvq_f32(value); }
  static void storeSums(float* c, const Type* sums, bool accumulate) {
    const Type all = vpaddq_f32(vpaddq_f32(sums[0], sums[1]), vpaddq_f32(sums[2], sums[3]));
    store(c, accumulate ? add(load(c), all) : all);
  }
  static void keepLoaded(Type& value) { __asm__("" : "+w"(value)); }
  static Type loadFirst(const float* from, int64_t count) {
    float values[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) values[i] = from[i];
    return load(values);
  }
  static void storeFirst(float* to, int64_t count, Type value) {
    float values[kLanes];
    store(values, value);
    for (int64_t i = 0; i < count; ++i) to[i] = values[i];
  }
  struct Weights {
    Type of(const int8_t* groups, int p) const {
      const int32x4_t group = vreinterpretq_s32_s8(vld1q_s8(groups));
      return vcvtq_f32_s32(vshrq_n_s32(vshlq_s32(group, vdupq_n_s32(24 - 8 * p)), 24));
    }
  };
};

// 6 x 4 sums, 4 vectors of b and 1 of a: 29 of the 32 registers.
constexpr int kTileRows = 6, kTileVectors = 4;
constexpr int kDotRows = 2;
constexpr int kFewRows = 2;
constexpr int kWideVectors[kFewRows] = {8, 8};
constexpr int kInt8Rows = 4, kInt8WideRows = 1;
constexpr int kSkinny = 8;  // as for AVX2; never measured on a real machine

void widenInt8(int64_t k, const int8_t* codes, float* out, int64_t outStride) {
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    const int64_t count = k - l < kGroup ? k - l : kGroup;
    for (int p = 0; p < count; ++p) {
      for (int j = 0; j < kPanelColumns; j += Vector::kLanes)
        vst1q_f32(out + (l + p) * outStride + j, Vector::Weights().of(codes + j * kGroup, p));
    }
  }
}

}  // namespace
}  // namespace quanto::cpu

#include "float_body.h"

namespace quanto::cpu {

const FloatKernel kFloatNeon = {
    .name = "neon",
    .rows = kTileRows,
    .columns = kTileColumns,
    .skinny = kSkinny,
    .dotRows = kSkinny,
    .tile = runTile,
    .dot = dot,
    .stream = stream,
    .streamInt8 = streamInt8,
    .widenInt8 = widenInt8,
    .transpose = nullptr,
    .widenFloat16 = nullptr,
    .narrowFloat16 = nullptr,
};

}  // namespace quanto::cpu
