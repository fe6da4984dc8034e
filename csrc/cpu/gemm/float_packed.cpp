#include <algorithm>
#include <atomic>
#include <cstring>

#include "../pool.h"
#include "../scratch.h"
#include "convert.h"
#include "float_product.h"
#include "pack_int8.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Blocks of the product whose packed operands are shared by all threads. A block's sums stay in float32 until K is finished: in the
// output itself where it is plain float32, else in a buffer, so blocks are smaller then.
constexpr int64_t kBlockK = 512, kBlockRows = 1024, kBlockColumns = 2048, kBufferedBlock = 512;
// A unit of parallel work: at most so many tiles down and across. Where a unit makes its own tiles of b there are more rows that share one;
// those rows stay in a core's second-level cache, and one tile of b beside them.
constexpr int64_t kTilesDown = 8, kMadeTilesDown = 16, kTilesAcross = 8;
// Column tiles packed together, so that rows of b are read in longer runs.
constexpr int64_t kPackedTogether = 4;
// Multiply-adds, and packed values, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 18, kPackGrain = 1 << 13;
constexpr int kMaxTileRows = 16, kMaxTileColumns = 64;
// Values converted at a time where the source is not plain float32.
constexpr int64_t kStrip = 256;

// Packs `count` vectors of length k side by side: out[l * padded + i]. `offset` points at the first value.
void packVectors(const FloatKernel& kernel, const void* data, DType dtype, int64_t offset, int64_t vectorStride, int64_t kStride,
                 int64_t count, int64_t k, int64_t padded, float* out) {
  if (vectorStride == 1) {
    for (int64_t l = 0; l < k; ++l) widen(kernel, data, dtype, offset + l * kStride, 1, count, out + l * padded);
    return;
  }
  if (kStride == 1 && dtype == DType::float32 && kernel.transpose) {
    kernel.transpose(count, k, static_cast<const float*>(data) + offset, vectorStride, out, padded);
    return;
  }
  float strip[kStrip];
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t begin = 0; begin < k; begin += kStrip) {
      const int64_t length = std::min(kStrip, k - begin);
      widen(kernel, data, dtype, offset + i * vectorStride + begin * kStride, kStride, length, strip);
      for (int64_t l = 0; l < length; ++l) out[(begin + l) * padded + i] = strip[l];
    }
  }
}

// One block of rows x columns x K, packed and multiplied.
struct Block {
  const FloatProduct& product;
  int64_t firstRow, firstColumn, firstK, columns, k;
  Pieces rowTiles;
  float *packedA, *packedB;
  float* sums;  // of the block's first row and column
  int64_t sumsStride;
  bool buffered;  // sums are not the output itself

  int64_t width() const { return product.kernel.columns; }
  int64_t columnTiles() const { return (columns + width() - 1) / width(); }

  // Whether b is unpacked tile by tile, by whoever multiplies with it.
  static bool makesTiles(const FloatProduct& product) { return product.tiles || product.packedWeight; }

  void pack() const {
    const int64_t tilesOfA = rowTiles.pieces;
    const Pieces groupsOfB(makesTiles(product) ? 0 : columnTiles(), kPackedTogether);
    parallelFor(tilesOfA + groupsOfB.pieces, std::max<int64_t>(1, kPackGrain / (k * width() + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        if (unit < tilesOfA) packRowTile(unit);
        else packColumnTiles(groupsOfB.begin(unit - tilesOfA), groupsOfB.begin(unit - tilesOfA + 1));
      }
    });
  }

  void packRowTile(int64_t tile) const {
    const Matrix& a = product.a;
    const int64_t row = rowTiles.begin(tile), rows = rowTiles.size(tile);
    const int64_t offset = (firstRow + row) * a.rowStride + firstK * a.columnStride;
    packVectors(product.kernel, a.data, a.dtype, offset, a.rowStride, a.columnStride, rows, k, rows, packedA + row * k);
  }

  float* columnTile(int64_t tile) const { return packedB + tile * width() * k; }
  int64_t firstColumnOf(int64_t tile) const { return firstColumn + tile * width(); }
  int64_t columnsOf(int64_t tile) const { return std::min(width(), product.n - firstColumnOf(tile)); }

  void packColumnTiles(int64_t begin, int64_t end) const {
    const Matrix& b = product.b;
    for (int64_t tile = begin; tile < end; ++tile) {
      if (columnsOf(tile) < width()) std::memset(columnTile(tile), 0, k * width() * sizeof(float));
    }
    if (b.columnStride == 1) {
      for (int64_t l = 0; l < k; ++l) {
        for (int64_t tile = begin; tile < end; ++tile) {
          const int64_t offset = (firstK + l) * b.rowStride + firstColumnOf(tile);
          widen(product.kernel, b.data, b.dtype, offset, 1, columnsOf(tile), columnTile(tile) + l * width());
        }
      }
    } else {
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t offset = firstColumnOf(tile) * b.columnStride + firstK * b.rowStride;
        packVectors(product.kernel, b.data, b.dtype, offset, b.columnStride, b.rowStride, columnsOf(tile), k, width(), columnTile(tile));
      }
    }
  }

  void makeColumnTile(int64_t tile, float* out) const {
    const int64_t first = firstColumnOf(tile), count = columnsOf(tile);
    if (count < width()) std::memset(out, 0, k * width() * sizeof(float));
    if (product.tiles) return product.tiles->fill(product.tiles->context, first, count, firstK, k, out, width());
    for (int64_t j = 0; j < count; j += kPanelColumns) {
      const int8_t* panel = product.packedWeight + (first + j) / kPanelColumns * panelBytes(product.k);
      product.kernel.widenInt8(k, panel + kPanelHeaderBytes + firstK / kGroup * kGroupBytes, out + j, width());
    }
  }

  Status multiply() const {
    const bool makes = makesTiles(product);
    const Pieces down(rowTiles.pieces, makes ? kMadeTilesDown : kTilesDown);
    const int64_t wanted = 4 * threadCount();
    const Pieces across(columnTiles(), std::clamp<int64_t>(down.pieces * columnTiles() / wanted, 1, kTilesAcross));
    const int64_t work = (rowTiles.count / down.pieces + 1) * (columns / across.pieces + 1) * (k + 1);
    std::atomic<Status> status{Status::ok};
    parallelFor(down.pieces * across.pieces, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
      thread_local ThreadBuffer own;
      float* made = makes ? static_cast<float*>(own.get(k * width() * sizeof(float))) : nullptr;
      if (makes && !made) {
        status = Status::outOfMemory;
        return;
      }
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t r = unit / across.pieces, c = unit % across.pieces;
        multiplyUnit(down.begin(r), down.begin(r + 1), across.begin(c), across.begin(c + 1), made);
      }
    });
    return status;
  }

  // `made`: null, or memory for a tile of b.
  void multiplyUnit(int64_t firstRowTile, int64_t endRowTile, int64_t firstColumnTile, int64_t endColumnTile, float* made) const {
    const bool first = firstK == 0, last = firstK + k == product.k;
    for (int64_t c = firstColumnTile; c < endColumnTile; ++c) {
      const int64_t column = c * width(), count = std::min(width(), columns - column);
      if (made) makeColumnTile(c, made);
      FloatTile tile{k, nullptr, made ? made : packedB + column * k, nullptr, sumsStride, !first, nullptr, nullptr};
      if (last && product.scale) tile.scale = product.scale + firstColumn + column;
      if (last && product.bias) tile.bias = product.bias + firstColumn + column;
      for (int64_t r = firstRowTile; r < endRowTile; ++r) {
        const int64_t row = rowTiles.begin(r);
        tile.a = packedA + row * k;
        tile.c = sums + row * sumsStride + column;
        multiplyTile(tile, static_cast<int>(rowTiles.size(r)), count);
      }
    }
    if (!buffered || !last) return;
    const FloatOutput& out = product.out;
    const int64_t column = firstColumnTile * width(), count = std::min(columns, endColumnTile * width()) - column;
    for (int64_t row = rowTiles.begin(firstRowTile); row < rowTiles.begin(endRowTile); ++row) {
      const int64_t offset = (firstRow + row) * out.rowStride + (firstColumn + column) * out.columnStride;
      narrow(product.kernel, sums + row * sumsStride + column, count, out.data, out.dtype, offset, out.columnStride);
    }
  }

  // The buffer holds whole tiles; the output may end within one, which is computed aside then.
  void multiplyTile(FloatTile tile, int rows, int64_t count) const {
    if (buffered || count == width()) {
      product.kernel.tile(rows, tile);
      return;
    }
    alignas(64) float aside[kMaxTileRows * kMaxTileColumns] = {};
    float* c = tile.c;
    const int64_t stride = width();
    if (tile.accumulate) {
      for (int i = 0; i < rows; ++i) std::memcpy(aside + i * stride, c + i * tile.cStride, count * sizeof(float));
    }
    tile.c = aside;
    tile.cStride = stride;
    product.kernel.tile(rows, tile);
    for (int i = 0; i < rows; ++i) std::memcpy(c + i * sumsStride, aside + i * stride, count * sizeof(float));
  }
};

}  // namespace

Status runPacked(const FloatProduct& product) {
  const FloatOutput& out = product.out;
  const int64_t m = product.m, n = product.n, width = product.kernel.columns;
  const int64_t k = product.k;
  const bool buffered = out.dtype != DType::float32 || out.columnStride != 1;
  const int64_t blockRows = std::min(m, buffered ? kBufferedBlock : kBlockRows);
  const bool makes = Block::makesTiles(product);
  const int64_t mostColumns = buffered ? kBufferedBlock : kBlockColumns;
  const int64_t blockColumns = std::min(roundUp(n, width), makes && !buffered ? roundUp(n, width) : mostColumns / width * width);
  // Nearly equal blocks, depending on K alone; packed weights are read in whole groups.
  const int64_t blockK = roundUp(Pieces(std::max<int64_t>(k, 1), kBlockK).largest(), kGroup);

  BufferPlan plan;
  const int64_t atA = plan.add(blockRows * blockK * sizeof(float));
  const int64_t atB = plan.add(makes ? 0 : blockColumns * blockK * sizeof(float));
  const int64_t atSums = plan.add(buffered ? blockRows * blockColumns * sizeof(float) : 0);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;

  for (int64_t column = 0; column < n; column += blockColumns) {
    for (int64_t row = 0; row < m; row += blockRows) {
      float* sums = reinterpret_cast<float*>(base + atSums);
      if (!buffered) sums = static_cast<float*>(out.data) + row * out.rowStride + column;
      const Pieces rowTiles(std::min(blockRows, m - row), product.kernel.rows);
      // With K = 0 one empty block still stores the bias.
      for (int64_t first = 0; first == 0 || first < k; first += blockK) {
        const Block block{product,
                          row,
                          column,
                          first,
                          std::min(blockColumns, n - column),
                          std::min(blockK, k - first),
                          rowTiles,
                          reinterpret_cast<float*>(base + atA),
                          reinterpret_cast<float*>(base + atB),
                          sums,
                          buffered ? blockColumns : out.rowStride,
                          buffered};
        block.pack();
        const Status status = block.multiply();
        if (status != Status::ok) return status;
      }
    }
  }
  return Status::ok;
}

}  // namespace quanto::cpu
