// The reference: plain loops, in a form that the compiler turns into whatever vectors the target's baseline has.
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kSkinny = 8;  // measured
constexpr int kRows = 4, kColumns = 16;
constexpr int kStrip = 8;  // columns summed at once: 4 x 8 sums fit in 16 registers of 4 floats

template <int rows>
void tileStrip(const FloatTile& tile, int column) {
  float sums[rows][kStrip] = {};
  const float *a = tile.a, *b = tile.b + column;
  for (int64_t l = 0; l < tile.k; ++l, a += rows, b += kColumns) {
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < kStrip; ++j) sums[i][j] += a[i] * b[j];
    }
  }
  for (int i = 0; i < rows; ++i) {
    float* c = tile.c + i * tile.cStride + column;
    for (int j = 0; j < kStrip; ++j) {
      float value = tile.accumulate ? c[j] + sums[i][j] : sums[i][j];
      if (tile.scale) value *= tile.scale[column + j];
      if (tile.bias) value += tile.bias[column + j];
      c[j] = value;
    }
  }
}

template <int rows>
void tileOf(const FloatTile& tile) {
  for (int column = 0; column < kColumns; column += kStrip) tileStrip<rows>(tile, column);
}

void runTile(int rows, const FloatTile& tile) {
  constexpr void (*kTiles[])(const FloatTile&) = {tileOf<1>, tileOf<2>, tileOf<3>, tileOf<4>};
  kTiles[rows - 1](tile);
}

// Eight partial sums, because the compiler may not reorder a single one.
float dotOf(int64_t k, const float* a, const float* b) {
  float sums[8] = {};
  int64_t l = 0;
  for (; l + 8 <= k; l += 8) {
    for (int i = 0; i < 8; ++i) sums[i] += a[l + i] * b[l + i];
  }
  for (; l < k; ++l) sums[l % 8] += a[l] * b[l];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

void dot(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
         bool accumulate) {
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < m; ++i) {
      const float sum = dotOf(k, a + i * aStride, b + j * bStride);
      float& out = c[i * cStride + j];
      out = accumulate ? out + sum : sum;
    }
  }
}

void stream(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * cStride + j] = 0;
  }
  for (int64_t l = 0; l < k; ++l) {
    for (int64_t i = 0; i < m; ++i) {
      const float factor = a[i * aStride + l];
      for (int64_t j = 0; j < n; ++j) c[i * cStride + j] += factor * b[l * bStride + j];
    }
  }
}

// out[p][j] = the group's value p of column j. The shifts of whole lanes become vector instructions, byte loads would not.
void widenGroup(const int8_t* group, float (&out)[kGroup][kPanelColumns]) {
  uint32_t lanes[kPanelColumns];
  __builtin_memcpy(lanes, group, sizeof lanes);
  for (int p = 0; p < kGroup; ++p) {
    for (int j = 0; j < kPanelColumns; ++j) out[p][j] = static_cast<float>(static_cast<int32_t>(lanes[j] << (24 - 8 * p)) >> 24);
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  float weights[kGroup][kPanelColumns];
  for (int64_t i = 0; i < m; ++i) {
    for (int j = 0; j < kPanelColumns; ++j) c[i * cStride + j] = 0;
  }
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    widenGroup(codes, weights);
    const int64_t count = k - l < kGroup ? k - l : kGroup;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t p = 0; p < count; ++p) {
        for (int j = 0; j < kPanelColumns; ++j) c[i * cStride + j] += a[i * aStride + l + p] * weights[p][j];
      }
    }
  }
}

void widenInt8(int64_t k, const int8_t* codes, float* out, int64_t outStride) {
  float weights[kGroup][kPanelColumns];
  for (int64_t l = 0; l < k; l += kGroup, codes += kGroupBytes) {
    widenGroup(codes, weights);
    const int64_t count = k - l < kGroup ? k - l : kGroup;
    for (int64_t p = 0; p < count; ++p) {
      for (int j = 0; j < kPanelColumns; ++j) out[(l + p) * outStride + j] = weights[p][j];
    }
  }
}

}  // namespace

const FloatKernel kFloatRef = {
    .name = "ref",
    .rows = kRows,
    .columns = kColumns,
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
