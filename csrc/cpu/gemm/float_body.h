// The float32 kernels of every unit with fused multiply-adds, to be included once by each file that is compiled for one instruction set.
// No C++ library header here. The including file has defined `Vector`, the unit's vectors of float32:
//
//   Type, kLanes                               a vector, and how many values it has
//   zero(), broadcast(const float&), load(const float*), store(float*, Type)
//   add(a, b), mul(a, b), fma(a, b, c)         a + b, a b, and a b + c rounded once
//   sumLanes(Type)                             one number
//   loadFirst(const float*, count), storeFirst(float*, count, Type)
//                                              fewer values than a vector has, the others being 0
//   Weights().of(const int8_t* groups, int p)  code p of each group of four, a group a lane, as floats; the object keeps constants
//
// and the sizes of its blocks: kTileRows x kTileVectors sums fill the registers; kFewRows rows of a are taken at once from unpacked memory,
// kWideVectors[rows - 1] vectors of b with them.
#pragma once

#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kTileColumns = kTileVectors * Vector::kLanes;

template <int rows>
void tileOf(const FloatTile& tile) {
  typename Vector::Type sums[rows][kTileVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vector::zero();
  }
  // The rows of c are far apart and not used before the end: fetch them meanwhile.
  for (int i = 0; i < rows; ++i) {
    for (int byte = 0; byte < kTileColumns * 4; byte += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(tile.c + i * tile.cStride) + byte, 1);
    }
  }
  const float *a = tile.a, *b = tile.b;
  for (int64_t l = 0; l < tile.k; ++l, a += rows, b += kTileColumns) {
    typename Vector::Type values[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) values[v] = Vector::load(b + v * Vector::kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const auto factor = Vector::broadcast(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sums[i][v] = Vector::fma(factor, values[v], sums[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) {
      const int first = v * Vector::kLanes;
      float* c = tile.c + i * tile.cStride + first;
      auto value = sums[i][v];
      if (tile.accumulate) value = Vector::add(Vector::load(c), value);
      if (tile.scale) value = Vector::mul(value, Vector::load(tile.scale + first));
      if (tile.bias) value = Vector::add(value, Vector::load(tile.bias + first));
      Vector::store(c, value);
    }
  }
}

template <int rows>
void runTileOf(int wanted, const FloatTile& tile) {
  if constexpr (rows > 0) {
    if (wanted == rows) tileOf<rows>(tile);
    else runTileOf<rows - 1>(wanted, tile);
  }
}
void runTile(int rows, const FloatTile& tile) { runTileOf<kTileRows>(rows, tile); }

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
  typename Vector::Type sums[rows][columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vector::zero();
  }
  int64_t l = 0;
  for (; l + Vector::kLanes <= at.k; l += Vector::kLanes) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      const auto b = Vector::load(at.b + j * at.bStride + l);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) sums[i][j] = Vector::fma(Vector::load(at.a + i * at.aStride + l), b, sums[i][j]);
    }
  }
  if (const int64_t rest = at.k - l; rest > 0) {
    for (int j = 0; j < columns; ++j) {
      const auto b = Vector::loadFirst(at.b + j * at.bStride + l, rest);
      for (int i = 0; i < rows; ++i) sums[i][j] = Vector::fma(Vector::loadFirst(at.a + i * at.aStride + l, rest), b, sums[i][j]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      const float sum = Vector::sumLanes(sums[i][j]);
      float& c = at.c[i * at.cStride + j];
      c = accumulate ? c + sum : sum;
    }
  }
}

template <int columns>
void dotRows(int64_t m, Operands at, bool accumulate) {
  constexpr int64_t kTogether = 2;
  for (int64_t i = 0; i < m; i += kTogether, at.a += kTogether * at.aStride, at.c += kTogether * at.cStride) {
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

// The sums of a block go through all of K: `load` reads a vector of b, `store` writes one of c.
template <int rows, int vectors, class Load, class Store>
__attribute__((always_inline)) inline void streamBlock(const Operands& at, Load load, Store store) {
  typename Vector::Type sums[rows][vectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vector::zero();
  }
  const float* b = at.b;
  for (int64_t l = 0; l < at.k; ++l, b += at.bStride) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      const auto values = load(b + v * Vector::kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) sums[i][v] = Vector::fma(Vector::broadcast(at.a[i * at.aStride + l]), values, sums[i][v]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) store(at.c + i * at.cStride + v * Vector::kLanes, sums[i][v]);
  }
}

// kWideVectors[rows - 1] vectors at a time, then one, then what is left.
template <int rows>
void streamRows(int64_t n, Operands at) {
  constexpr int kWide = kWideVectors[rows - 1];
  const auto advance = [&](int64_t columns) {
    at.b += columns;
    at.c += columns;
    n -= columns;
  };
  for (; n >= kWide * Vector::kLanes; advance(kWide * Vector::kLanes)) streamBlock<rows, kWide>(at, Vector::load, Vector::store);
  for (; n >= Vector::kLanes; advance(Vector::kLanes)) streamBlock<rows, 1>(at, Vector::load, Vector::store);
  if (n == 0) return;
  streamBlock<rows, 1>(
      at, [n](const float* b) { return Vector::loadFirst(b, n); },
      [n](float* c, typename Vector::Type sum) { Vector::storeFirst(c, n, sum); });
}

template <int rows>
void streamFew(int64_t wanted, int64_t n, const Operands& at) {
  if constexpr (rows > 0) {
    if (wanted >= rows) streamRows<rows>(n, at);
    else streamFew<rows - 1>(wanted, n, at);
  }
}

void stream(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows)
    streamFew<kFewRows>(m - i, n, {k, a + i * aStride, aStride, b, bStride, c + i * cStride, cStride});
}

// As many of the panel's columns as a vector has.
template <int rows>
void streamInt8Columns(int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  const typename Vector::Weights weights{};
  // One sum for each position in a group: they do not wait for each other.
  typename Vector::Type sums[rows][kGroup];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vector::zero();
  }
  const auto step = [&](int64_t l, int count) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) {
      const auto values = weights.of(codes + l * kPanelColumns, p);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) sums[i][p] = Vector::fma(Vector::broadcast(a[i * aStride + l + p]), values, sums[i][p]);
    }
  };
  int64_t l = 0;
  for (; l + kGroup <= k; l += kGroup) step(l, kGroup);
  // Constant counts keep the sums in registers.
  switch (k - l) {
    case 1:
      step(l, 1);
      break;
    case 2:
      step(l, 2);
      break;
    case 3:
      step(l, 3);
      break;
    default:
      break;
  }
  for (int i = 0; i < rows; ++i) {
    Vector::store(c + i * cStride, Vector::add(Vector::add(sums[i][0], sums[i][1]), Vector::add(sums[i][2], sums[i][3])));
  }
}

template <int rows>
void streamInt8Few(int64_t wanted, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  if constexpr (rows > 0) {
    if (wanted < rows) return streamInt8Few<rows - 1>(wanted, k, a, aStride, codes, c, cStride);
    for (int j = 0; j < kPanelColumns; j += Vector::kLanes) streamInt8Columns<rows>(k, a, aStride, codes + j * kGroup, c + j, cStride);
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kFewRows, a += kFewRows * aStride, c += kFewRows * cStride) {
    streamInt8Few<kFewRows>(m - i, k, a, aStride, codes, c, cStride);
  }
}

}  // namespace
}  // namespace quanto::cpu
