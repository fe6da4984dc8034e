#include <arm_neon.h>

#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kLanes = 4;
// 6 x 4 sums, 4 vectors of b and 1 of a: 29 of the 32 registers.
constexpr int kRows = 6, kVectors = 4, kColumns = kVectors * kLanes;
constexpr int kSkinny = 8;  // as for AVX2; never measured on a real machine
// Rows of a that the unpacked paths take at once.
constexpr int kFewRows = 2;

template <int rows>
void tileOf(const FloatTile& tile) {
  float32x4_t sums[rows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = vdupq_n_f32(0);
  }
  const float *a = tile.a, *b = tile.b;
  for (int64_t l = 0; l < tile.k; ++l, a += rows, b += kColumns) {
    float32x4_t values[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) values[v] = vld1q_f32(b + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const float32x4_t factor = vdupq_n_f32(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] = vfmaq_f32(sums[i][v], factor, values[v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* c = tile.c + i * tile.cStride + v * kLanes;
      float32x4_t value = sums[i][v];
      if (tile.accumulate) value = vaddq_f32(vld1q_f32(c), value);
      if (tile.scale) value = vmulq_f32(value, vld1q_f32(tile.scale + v * kLanes));
      if (tile.bias) value = vaddq_f32(value, vld1q_f32(tile.bias + v * kLanes));
      vst1q_f32(c, value);
    }
  }
}

void runTile(int rows, const FloatTile& tile) {
  constexpr void (*kTiles[kRows])(const FloatTile&) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>, tileOf<5>, tileOf<6>};
  kTiles[rows - 1](tile);
}

// Both operands of dot and stream, with their strides.
struct Operands {
  int64_t k;
  const float* a;
  int64_t aStride;
  const float* b;
  int64_t bStride;
  float* c;
  int64_t cStride;
};

template <int rows, int columns>
void dotBlock(const Operands& at, bool accumulate) {
  float32x4_t sums[rows][columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = vdupq_n_f32(0);
  }
  int64_t l = 0;
  for (; l + kLanes <= at.k; l += kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      const float32x4_t b = vld1q_f32(at.b + j * at.bStride + l);
#pragma GCC unroll 2
      for (int i = 0; i < rows; ++i) sums[i][j] = vfmaq_f32(sums[i][j], vld1q_f32(at.a + i * at.aStride + l), b);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      float sum = vaddvq_f32(sums[i][j]);
      for (int64_t t = l; t < at.k; ++t) sum = __builtin_fmaf(at.a[i * at.aStride + t], at.b[j * at.bStride + t], sum);
      float& c = at.c[i * at.cStride + j];
      c = accumulate ? c + sum : sum;
    }
  }
}

template <int columns>
void dotRows(int64_t m, Operands at, bool accumulate) {
  for (int64_t i = 0; i < m; i += kFewRows, at.a += kFewRows * at.aStride, at.c += kFewRows * at.cStride) {
    if (m - i == 1) dotBlock<1, columns>(at, accumulate);
    else dotBlock<2, columns>(at, accumulate);
  }
}

void dot(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
         bool accumulate) {
  int64_t j = 0;
  const auto at = [&] { return Operands{k, a, aStride, b + j * bStride, bStride, c + j, cStride}; };
  for (; j + 4 <= n; j += 4) dotRows<4>(m, at(), accumulate);
  for (; j < n; ++j) dotRows<1>(m, at(), accumulate);
}

template <int rows, int vectors>
void streamBlock(const Operands& at) {
  float32x4_t sums[rows][vectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = vdupq_n_f32(0);
  }
  const float* b = at.b;
  for (int64_t l = 0; l < at.k; ++l, b += at.bStride) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const float32x4_t values = vld1q_f32(b + v * kLanes);
#pragma GCC unroll 2
      for (int i = 0; i < rows; ++i) sums[i][v] = vfmaq_f32(sums[i][v], vdupq_n_f32(at.a[i * at.aStride + l]), values);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) vst1q_f32(at.c + i * at.cStride + v * kLanes, sums[i][v]);
  }
}

// One column: fewer than a vector are left. Fused, so that no result depends on where the columns were split.
template <int rows>
void streamColumn(const Operands& at) {
  for (int i = 0; i < rows; ++i) {
    float sum = 0;
    for (int64_t l = 0; l < at.k; ++l) sum = __builtin_fmaf(at.a[i * at.aStride + l], at.b[l * at.bStride], sum);
    at.c[i * at.cStride] = sum;
  }
}

template <int rows, int wide>
void streamRows(int64_t n, Operands at) {
  const auto advance = [&](int columns) {
    at.b += columns;
    at.c += columns;
    n -= columns;
  };
  for (; n >= wide * kLanes; advance(wide * kLanes)) streamBlock<rows, wide>(at);
  for (; n >= kLanes; advance(kLanes)) streamBlock<rows, 1>(at);
  for (; n > 0; advance(1)) streamColumn<rows>(at);
}

void stream(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows) {
    const Operands at{k, a + i * aStride, aStride, b, bStride, c + i * cStride, cStride};
    if (m - i == 1) streamRows<1, 8>(n, at);
    else streamRows<2, 8>(n, at);
  }
}

// Value p of each of 4 columns' groups, as floats.
template <int p>
float32x4_t widened(int32x4_t group) {
  if constexpr (p == kGroup - 1) return vcvtq_f32_s32(vshrq_n_s32(group, 24));
  else return vcvtq_f32_s32(vshrq_n_s32(vshlq_n_s32(group, 24 - 8 * p), 24));
}

// Calls use(p, v, weights) for the first `count` values of a group, for the 4 columns of each vector v.
template <class Use>
__attribute__((always_inline)) inline void eachWeight(const int8_t* group, int64_t count, Use use) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const int32x4_t values = vreinterpretq_s32_s8(vld1q_s8(group + v * 16));
    use(0, v, widened<0>(values));
    if (count > 1) use(1, v, widened<1>(values));
    if (count > 2) use(2, v, widened<2>(values));
    if (count > 3) use(3, v, widened<3>(values));
  }
}

template <int rows>
void streamInt8Rows(int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  float32x4_t sums[rows][kVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = vdupq_n_f32(0);
  }
  const auto step = [&](int64_t l, int64_t count) __attribute__((always_inline)) {
    eachWeight(
        codes + l * kPanelColumns, count, [&](int p, int v, float32x4_t weights) __attribute__((always_inline)) {
#pragma GCC unroll 2
          for (int i = 0; i < rows; ++i) sums[i][v] = vfmaq_f32(sums[i][v], vdupq_n_f32(a[i * aStride + l + p]), weights);
        });
  };
  int64_t l = 0;
  for (; l + kGroup <= k; l += kGroup) step(l, kGroup);
  if (l < k) step(l, k - l);
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < kVectors; ++v) vst1q_f32(c + i * cStride + v * kLanes, sums[i][v]);
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows, a += kFewRows * aStride, c += kFewRows * cStride) {
    if (m - i == 1) streamInt8Rows<1>(k, a, aStride, codes, c, cStride);
    else streamInt8Rows<2>(k, a, aStride, codes, c, cStride);
  }
}

void widenInt8(int64_t k, const int8_t* codes, float* out, int64_t outStride) {
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    eachWeight(codes, k - l, [&](int p, int v, float32x4_t weights) { vst1q_f32(out + (l + p) * outStride + v * kLanes, weights); });
  }
}

}  // namespace

const FloatKernel kFloatNeon = {
    .name = "neon",
    .rows = kRows,
    .columns = kColumns,
    .skinny = kSkinny,
    .dotsAll = false,
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
