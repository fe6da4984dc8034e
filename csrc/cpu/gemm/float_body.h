// The float32 kernels of every unit with fused multiply-adds, to be included once by each file that is compiled for one instruction set.
// No C++ library header here. The including file has defined `Vector`, the unit's vectors of float32:
//
//   Type, kLanes                               a vector, and how many values it has
//   zero(), broadcast(const float&), load(const float*), store(float*, Type)
//   add(a, b), mul(a, b), fma(a, b, c)         a + b, a b, and a b + c rounded once
//   sumLanes(Type)                             one number
//   storeSums(float*, const Type*, bool accumulate)
//                                              the numbers of kDotColumns vectors; kDotColumns is a constant of Vector
//   keepLoaded(Type&)                          keeps the compiler from loading a value again for each use
//   loadFirst(const float*, count), storeFirst(float*, count, Type)
//                                              fewer values than a vector has, the others being 0
//   Weights().of(const int8_t* groups, int p)  code p of each group of four, a group a lane, as floats; the object keeps constants
//
// and the sizes of its blocks: kTileRows x kTileVectors sums fill the registers, as do kDotRows x Vector::kDotColumns dot products;
// kFewRows rows of a are taken at once from unpacked memory, kWideVectors[rows - 1] vectors of b with them; kInt8Rows where b is int8, up
// to kInt8WideRows with all columns of a panel, more with a vector of them.
#pragma once

#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kTileColumns = kTileVectors * Vector::kLanes;
// Bytes of codes fetched before they are wanted.
constexpr int64_t kStreamAhead = 1024;

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

// The columns of b stay in the first-level cache while the rows of a pass. With `fetches`, which the first rows have, those that follow
// them are fetched meanwhile: too many short runs for the hardware to foresee.
template <int rows, int columns>
void dotBlock(const Operands& at, bool fetches, bool accumulate) {
  typename Vector::Type sums[rows][columns];
  for (auto& row : sums) {
    for (auto& sum : row) sum = Vector::zero();
  }
  const auto step = [&](int64_t l, auto load) __attribute__((always_inline)) {
    typename Vector::Type a[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) a[i] = load(at.a + i * at.aStride + l);
#pragma GCC unroll 8
    for (int j = 0; j < columns; ++j) {
      auto b = load(at.b + j * at.bStride + l);
      Vector::keepLoaded(b);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sums[i][j] = Vector::fma(a[i], b, sums[i][j]);
    }
  };
  int64_t l = 0;
  if (fetches) {
    constexpr int64_t kLine = 16;
    for (; l + kLine <= at.k; l += kLine) {
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j) __builtin_prefetch(at.b + (columns + j) * at.bStride + l, 0, 2);
#pragma GCC unroll 4
      for (int v = 0; v < kLine; v += Vector::kLanes) step(l + v, Vector::load);
    }
  }
  for (; l + Vector::kLanes <= at.k; l += Vector::kLanes) step(l, Vector::load);
  if (const int64_t rest = at.k - l; rest > 0) step(l, [rest](const float* from) { return Vector::loadFirst(from, rest); });
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    float* c = at.c + i * at.cStride;
    // A copy, so that the sums above stay in registers.
    typename Vector::Type finished[columns];
#pragma GCC unroll 8
    for (int j = 0; j < columns; ++j) finished[j] = sums[i][j];
    if constexpr (columns == Vector::kDotColumns) {
      Vector::storeSums(c, finished, accumulate);
    } else {
      static_assert(columns == 1);
      const float sum = Vector::sumLanes(finished[0]);
      *c = accumulate ? *c + sum : sum;
    }
  }
}

template <int rows, int columns>
void dotBlockOf(int64_t wanted, const Operands& at, bool fetches, bool accumulate) {
  if constexpr (rows > 0) {
    if (wanted >= rows) dotBlock<rows, columns>(at, fetches, accumulate);
    else dotBlockOf<rows - 1, columns>(wanted, at, fetches, accumulate);
  }
}

template <int columns>
void dotRows(int64_t m, Operands at, bool accumulate) {
  for (int64_t i = 0; i < m; i += kDotRows, at.a += kDotRows * at.aStride, at.c += kDotRows * at.cStride)
    dotBlockOf<kDotRows, columns>(m - i, at, i == 0, accumulate);
}

void dot(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
         bool accumulate) {
  int64_t j = 0;
  const auto at = [&] { return Operands{k, a, aStride, b + j * bStride, bStride, c + j, cStride}; };
  for (; j + Vector::kDotColumns <= n; j += Vector::kDotColumns) dotRows<Vector::kDotColumns>(m, at(), accumulate);
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
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 16
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

// `columns` of the panel. Every code is widened once for all rows.
template <int rows, int columns>
void streamInt8Block(int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  constexpr int kVectors = columns / Vector::kLanes;
  // Several sums for each result, eight in all at most: they do not wait for each other.
  constexpr int kChains = rows * kVectors <= 2 ? 4 : rows * kVectors <= 4 ? 2 : 1;
  const typename Vector::Weights weights{};
  typename Vector::Type sums[rows][kVectors][kChains];
  for (auto& row : sums) {
    for (auto& vector : row) {
      for (auto& sum : vector) sum = Vector::zero();
    }
  }
  const auto step = [&](int64_t l, int count) __attribute__((always_inline)) {
    __builtin_prefetch(codes + l * kPanelColumns + kStreamAhead);
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const auto values = weights.of(codes + l * kPanelColumns + v * Vector::kLanes * kGroup, p);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
          auto& sum = sums[i][v][p % kChains];
          sum = Vector::fma(Vector::broadcast(a[i * aStride + l + p]), values, sum);
        }
      }
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
    // Unrolled like the loops above, or the sums would live in memory.
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      auto& sum = sums[i][v];
#pragma GCC unroll 2
      for (int chains = kChains / 2; chains > 0; chains /= 2) {
#pragma GCC unroll 2
        for (int j = 0; j < chains; ++j) sum[j] = Vector::add(sum[j], sum[j + chains]);
      }
      Vector::store(c + i * cStride + v * Vector::kLanes, sum[0]);
    }
  }
}

template <int rows>
void streamInt8Few(int64_t wanted, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  if constexpr (rows > 0) {
    if (wanted < rows) return streamInt8Few<rows - 1>(wanted, k, a, aStride, codes, c, cStride);
    constexpr int columns = rows <= kInt8WideRows ? kPanelColumns : Vector::kLanes;
    for (int j = 0; j < kPanelColumns; j += columns) streamInt8Block<rows, columns>(k, a, aStride, codes + j * kGroup, c + j, cStride);
  }
}

void streamInt8(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride) {
  for (int64_t i = 0; i < m; i += kInt8Rows, a += kInt8Rows * aStride, c += kInt8Rows * cStride) {
    streamInt8Few<kInt8Rows>(m - i, k, a, aStride, codes, c, cStride);
  }
}

}  // namespace
}  // namespace quanto::cpu
