#include <algorithm>

#include "../pool.h"
#include "../scratch.h"
#include "convert.h"
#include "float_product.h"
#include "pack_int8.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

constexpr int64_t kStreamRows = 8;
// Vectors of the large operand that one step takes, and how many values of each are widened at a time.
constexpr int64_t kVectors = 16, kStrip = 256;
// Values along K whose columns stay in the first-level cache, and rows that stay in the second-level cache, while others pass.
constexpr int64_t kDotBlock = 1024, kDotRows = 192;
// Rows that every kernel takes in one pass: no columns need to stay, and longer runs of them are foreseen better.
constexpr int64_t kRowsAtOnce = 2, kLongBlock = 4 * kDotBlock;
static_assert(kDotRows >= kMaxSkinny);
constexpr int64_t kStreamColumns = 256;
// Multiply-adds that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 16;

int64_t grainOf(int64_t workPerItem) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, workPerItem)); }

// A matrix of vectors along K: rows of a, or columns of b.
struct Vectors {
  const void* data;
  DType dtype;
  int64_t stride;   // from one vector to the next
  int64_t kStride;  // along a vector
};

Vectors rowsOf(const Matrix& a) { return {a.data, a.dtype, a.rowStride, a.columnStride}; }
Vectors columnsOf(const Matrix& b) { return {b.data, b.dtype, b.columnStride, b.rowStride}; }

bool isPlain(const Vectors& vectors) { return vectors.dtype == DType::float32 && vectors.kStride == 1; }

// The few vectors of the small operand as plain float32, copied where they are something else. Null when out of memory.
const float* plainVectors(const FloatKernel& kernel, const Vectors& vectors, int64_t count, int64_t k, int64_t* stride) {
  if (isPlain(vectors)) {
    *stride = vectors.stride;
    return static_cast<const float*>(vectors.data);
  }
  thread_local ThreadBuffer memory;
  float* copy = static_cast<float*>(memory.get(count * k * sizeof(float)));
  if (!copy) return nullptr;
  for (int64_t i = 0; i < count; ++i) {
    widen(kernel, vectors.data, vectors.dtype, i * vectors.stride, vectors.kStride, k, copy + i * k);
  }
  *stride = k;
  return copy;
}

// sums = small . large^T (or its transpose) for `count` vectors of the large operand from `first` on.
struct DotStep {
  const FloatProduct& product;
  bool smallIsA;
  const float* small;
  int64_t smallStride, smallCount;
  Vectors large;

  void operator()(int64_t first, int64_t count, float* sums) const {
    const bool plain = isPlain(large);
    const int64_t block = !plain ? kStrip : smallCount <= kRowsAtOnce ? kLongBlock : kDotBlock;
    float strips[kVectors * kStrip];
    // With K = 0 one empty block still clears the sums.
    for (int64_t begin = 0; begin == 0 || begin < product.k; begin += block) {
      const int64_t length = std::min(block, product.k - begin);
      if (plain) {
        multiply(count, length, small + begin, static_cast<const float*>(large.data) + first * large.stride + begin, large.stride, sums,
                 begin > 0);
        continue;
      }
      for (int64_t i = 0; i < count; ++i) {
        const int64_t offset = (first + i) * large.stride + begin * large.kStride;
        widen(product.kernel, large.data, large.dtype, offset, large.kStride, length, strips + i * kStrip);
      }
      multiply(count, length, small + begin, strips, kStrip, sums, begin > 0);
    }
  }

  void multiply(int64_t count, int64_t k, const float* smallPart, const float* largePart, int64_t largeStride, float* sums,
                bool accumulate) const {
    const auto dot = product.kernel.dot;
    if (smallIsA) {
      dot(smallCount, count, k, smallPart, smallStride, largePart, largeStride, sums, kVectors, accumulate);
    } else {
      dot(count, smallCount, k, largePart, largeStride, smallPart, smallStride, sums, kMaxSkinny, accumulate);
    }
  }
};

Status runDot(const FloatProduct& product, bool smallIsA) {
  const int64_t m = product.m, n = product.n;
  const Vectors a = rowsOf(product.a), b = columnsOf(product.b);
  int64_t stride;
  const int64_t smallCount = smallIsA ? m : n, largeCount = smallIsA ? n : m;
  const float* small = plainVectors(product.kernel, smallIsA ? a : b, smallCount, product.k, &stride);
  if (!small) return Status::outOfMemory;
  // The small operand may be large where it lies as it is wanted: a block of it at a time.
  const Pieces blocks(smallCount, kDotRows);
  const int64_t steps = (largeCount + kVectors - 1) / kVectors;
  parallelFor(blocks.pieces * steps, grainOf(kVectors * blocks.largest() * product.k), [&](int64_t begin, int64_t end) {
    alignas(64) float sums[kDotRows * kVectors] = {};
    for (int64_t index = begin; index < end; ++index) {
      const int64_t block = index / steps, row = blocks.begin(block), rows = blocks.size(block);
      const int64_t first = index % steps * kVectors, count = std::min(kVectors, largeCount - first);
      const DotStep step{product, smallIsA, small + row * stride, stride, rows, smallIsA ? b : a};
      step(first, count, sums);
      for (int64_t i = 0; i < (smallIsA ? rows : count); ++i) {
        if (smallIsA) finishRow(product, row + i, first, count, sums + i * kVectors);
        else finishRow(product, first + i, 0, n, sums + i * kMaxSkinny);
      }
    }
  });
  return Status::ok;
}

// For m small and b in rows.
Status runStream(const FloatProduct& product) {
  int64_t stride;
  const float* a = plainVectors(product.kernel, rowsOf(product.a), product.m, product.k, &stride);
  if (!a) return Status::outOfMemory;
  const float* b = static_cast<const float*>(product.b.data);
  const int64_t steps = (product.n + kStreamColumns - 1) / kStreamColumns;
  parallelFor(steps, grainOf(kStreamColumns * product.m * product.k), [&](int64_t begin, int64_t end) {
    float sums[kStreamRows * kStreamColumns];
    for (int64_t index = begin; index < end; ++index) {
      const int64_t first = index * kStreamColumns, count = std::min(kStreamColumns, product.n - first);
      product.kernel.stream(product.m, count, product.k, a, stride, b + first, product.b.rowStride, sums, kStreamColumns);
      for (int64_t i = 0; i < product.m; ++i) finishRow(product, i, first, count, sums + i * kStreamColumns);
    }
  });
  return Status::ok;
}

Status runStreamInt8(const FloatProduct& product) {
  int64_t stride;
  const float* a = plainVectors(product.kernel, rowsOf(product.a), product.m, product.k, &stride);
  if (!a) return Status::outOfMemory;
  parallelFor(panelsOf(product.n), grainOf(kPanelColumns * product.m * product.k), [&](int64_t begin, int64_t end) {
    float sums[kMaxSkinny * kPanelColumns];
    for (int64_t panel = begin; panel < end; ++panel) {
      const int8_t* codes = product.packedWeight + panel * panelBytes(product.k) + kPanelHeaderBytes;
      product.kernel.streamInt8(product.m, product.k, a, stride, codes, sums, kPanelColumns);
      const int64_t first = panel * kPanelColumns, count = std::min<int64_t>(kPanelColumns, product.n - first);
      for (int64_t i = 0; i < product.m; ++i) finishRow(product, i, first, count, sums + i * kPanelColumns);
    }
  });
  return Status::ok;
}

enum class Path { none, dotSmallA, dotSmallB, stream, streamInt8 };

Path pathOf(const FloatProduct& product) {
  const Matrix &a = product.a, &b = product.b;
  const int64_t skinny = product.kernel.skinny;
  if (product.tiles) return Path::none;
  if (product.packedWeight) return product.m <= skinny ? Path::streamInt8 : Path::none;
  // Beyond one block of rows and one of K packing wins again.
  const bool few = product.m <= kDotRows || product.k <= 3 * kDotBlock / 2;
  const bool plain = few && product.m <= product.kernel.dotRows && isPlain(rowsOf(a)) && isPlain(columnsOf(b));
  if (b.rowStride == 1 && (product.m <= skinny || plain)) return Path::dotSmallA;
  if (product.m <= kStreamRows && b.columnStride == 1 && b.dtype == DType::float32) return Path::stream;
  if (product.n <= skinny && a.columnStride == 1) return Path::dotSmallB;
  return Path::none;
}

}  // namespace

bool isSkinny(const FloatProduct& product) { return pathOf(product) != Path::none; }

Status runSkinny(const FloatProduct& product) {
  switch (pathOf(product)) {
    case Path::dotSmallA:
      return runDot(product, true);
    case Path::dotSmallB:
      return runDot(product, false);
    case Path::stream:
      return runStream(product);
    case Path::streamInt8:
      return runStreamInt8(product);
    case Path::none:
      break;
  }
  return runPacked(product);
}

}  // namespace quanto::cpu
