// The driver of all products whose left operand is int8 while it is multiplied: packs its rows, cuts the product into units of work, and
// hands finished sums on.
#pragma once

#include <algorithm>

#include "../pool.h"
#include "../scratch.h"
#include "gemm.h"
#include "int8_output.h"
#include "kernels.h"
#include "pack_int8.h"
#include "workspace.h"

namespace quanto::cpu {

// Packed rows of one pass over the weights, and weights packed here, which stay in the last-level cache.
constexpr int64_t kRowBytes = 1 << 23, kWeightBytes = 1 << 22;
// Multiply-adds, and packed bytes, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 19, kPackGrain = 1 << 14;
// Groups between the places where a block of K may begin: one row of an AMX tile.
constexpr int64_t kBlockStep = 16;
constexpr int64_t kUnitsPerThread = 4;

struct Int8Product {
  const Int8Kernel& kernel;
  int64_t m, n, k;
  Int8Weight weight;
};

// [0, count) in tiles of whole steps, all but the last one, whose numbers of steps differ by 1 at most. Of nothing there is an empty one.
struct Int8Tiles {
  int64_t count, step;
  Pieces steps;

  Int8Tiles(int64_t total, int64_t stepSize, int64_t largest)
      : count(total),
        step(stepSize),
        steps(std::max<int64_t>(1, (total + stepSize - 1) / stepSize), std::max<int64_t>(1, largest / stepSize)) {}
  int64_t tiles() const { return steps.pieces; }
  int64_t begin(int64_t tile) const { return std::min(count, steps.begin(tile) * step); }
  int64_t size(int64_t tile) const { return begin(tile + 1) - begin(tile); }
};

// One tile of packed rows by panels beside each other: sums[height][16 * panels]. `fetches`: the panels are met for the first time.
inline void multiplyTile(const Int8Kernel& kernel, int64_t groups, int64_t height, const char* rows, int64_t rowStride,
                         const int8_t* panels, int64_t panelStride, int64_t panelCount, int32_t* sums, int64_t sumsStride, bool fetches) {
  const Int8Tiles along(groups, kBlockStep, kernel.groupBlock ? kernel.groupBlock : roundUp(groups, kBlockStep));
  const Pieces pairs(panelCount, kernel.panels);
  // The rows of a block stay in the first-level cache while the panels stream past them.
  for (int64_t block = 0; block < along.tiles(); ++block) {
    const int64_t first = along.begin(block);
    const char* left = rows + first * kGroup * kernel.elementBytes;
    for (int64_t pair = 0; pair < pairs.pieces; ++pair) {
      const int64_t panel = pairs.begin(pair);
      const int8_t* right = panels + panel * panelStride + first * kGroupBytes;
      const bool ahead = fetches && kernel.groupBlock && pair + 1 < pairs.pieces;
      kernel.tile(static_cast<int>(height), static_cast<int>(pairs.size(pair)),
                  {along.size(block), left, rowStride, right, panelStride, sums + panel * kPanelColumns, sumsStride, block > 0,
                   ahead ? right + kernel.panels * panelStride : nullptr});
    }
  }
}

// The same for any number of rows: sums[rows][16 * panels], up to a multiple of rowsRead.
inline void multiplyRows(const Int8Kernel& kernel, int64_t groups, int64_t rows, const char* packedRows, int64_t rowStride,
                         const int8_t* panels, int64_t panelStride, int64_t panelCount, int32_t* sums, int64_t sumsStride) {
  const Int8Tiles tiles(rows, kernel.rowsRead, kernel.rows);
  for (int64_t tile = 0; tile < tiles.tiles(); ++tile) {
    const int64_t row = tiles.begin(tile);
    multiplyTile(kernel, groups, tiles.size(tile), packedRows + row * rowStride, rowStride, panels, panelStride, panelCount,
                 sums + row * sumsStride, sumsStride, false);
  }
}

// Tiles of rows [0, rows) by all columns of packed panels; no tile parts `together` rows, and `store` is as runInt8 has it.
template <class Store>
void multiplyInt8(const Int8Product& product, int64_t together, int64_t rows, const char* packedRows, int64_t rowStride,
                  const int8_t* weight, int64_t columns, const Store& store) {
  const Int8Kernel& kernel = product.kernel;
  const int64_t groups = groupsOf(product.k), weightBytes = panelBytes(product.k);
  const Int8Tiles tiles(rows, std::max<int64_t>(kernel.rowsRead, together), kernel.rows);
  // A unit is as wide and as high as gives every thread several. Its panels stay in the second-level cache for all of its rows, so height
  // is given up first.
  const int64_t panels = panelsOf(columns), units = kUnitsPerThread * threadCount(), groupsAcross = Pieces(panels, kMaxUnitPanels).pieces;
  const int64_t wantedDown = std::min(tiles.tiles(), (units + groupsAcross - 1) / groupsAcross);
  const Pieces down(tiles.tiles(), tiles.tiles() / wantedDown);
  const int64_t widest = panels * down.pieces / (kernel.panels * units);
  const Pieces across(panels, kernel.panels * std::clamp<int64_t>(widest, 1, kMaxUnitPanels / kernel.panels));
  const int64_t work = (rows / down.pieces + 1) * across.largest() * kPanelColumns * (product.k + 16);
  parallelFor(down.pieces * across.pieces, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    alignas(64) int32_t sums[kMaxSums];
    if (kernel.begin) kernel.begin();
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t d = unit % down.pieces, group = unit / down.pieces, firstPanel = across.begin(group);
      const int64_t column = firstPanel * kPanelColumns, width = across.size(group) * kPanelColumns;
      for (int64_t tile = down.begin(d); tile < down.begin(d + 1); ++tile) {
        const int64_t row = tiles.begin(tile), height = tiles.size(tile);
        multiplyTile(kernel, groups, height, packedRows + row * rowStride, rowStride, weight + firstPanel * weightBytes, weightBytes,
                     across.size(group), sums, width, tile == down.begin(d));
        store(SumBlock{row, column, height, std::min(width, columns - column), sums, width});
      }
    }
    if (kernel.end) kernel.end();
  });
}

// `Store` takes finished sums. `Source` has stride(), the bytes from one packed row to the next; kTogether, the rows that it packs at a
// time, a divisor or a multiple of rowsRead; and pack(index, out), safe to call for several at once.
template <class Source, class Store>
Status runInt8(const Int8Product& product, const Source& source, const Store& store) {
  const int64_t m = product.m, n = product.n, k = product.k;
  if (m == 0 || n == 0) return Status::ok;
  const int64_t rowStride = source.stride(), weightBytes = panelBytes(k);
  constexpr int64_t kTogether = Source::kTogether;
  const int64_t tallest = product.kernel.rows / kTogether * kTogether;
  const int64_t blockRows = std::min(m, std::max<int64_t>(1, kRowBytes / rowStride / tallest) * tallest);
  const int64_t allPanels = panelsOf(n);
  const int64_t blockPanels = product.weight.packed
                                  ? allPanels
                                  : std::min(allPanels, roundUp(std::max<int64_t>(1, kWeightBytes / weightBytes), product.kernel.panels));

  BufferPlan plan;
  const int64_t atRows = plan.add(roundUp(blockRows + product.kernel.rowsRead - 1, product.kernel.rowsRead) * rowStride);
  const int64_t atWeight = plan.add(product.weight.packed ? 0 : blockPanels * weightBytes);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  char* packedRows = base + atRows;
  int8_t* packedWeight = reinterpret_cast<int8_t*>(base + atWeight);

  for (int64_t firstRow = 0; firstRow < m; firstRow += blockRows) {
    const int64_t rows = std::min(blockRows, m - firstRow);
    parallelFor(rows / kTogether, std::max<int64_t>(1, kPackGrain / (rowStride * kTogether)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) source.pack(firstRow / kTogether + i, packedRows + i * kTogether * rowStride);
    });
    for (int64_t firstPanel = 0; firstPanel < allPanels; firstPanel += blockPanels) {
      const int64_t firstColumn = firstPanel * kPanelColumns, columns = std::min(n - firstColumn, blockPanels * kPanelColumns);
      const int8_t* weight = product.weight.data;
      if (!product.weight.packed) {
        const Int8Weight& rowMajor = product.weight;
        packInt8(columns, k, rowMajor.data + firstColumn * rowMajor.rowStride, rowMajor.rowStride, rowMajor.columnStride, packedWeight);
        weight = packedWeight;
      }
      multiplyInt8(product, kTogether, rows, packedRows, rowStride, weight, columns, [&](SumBlock block) {
        block.row += firstRow;
        block.column += firstColumn;
        store(block);
      });
    }
  }
  return Status::ok;
}

}  // namespace quanto::cpu
