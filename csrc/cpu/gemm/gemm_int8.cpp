#include <algorithm>
#include <cstring>

#include "../pool.h"
#include "../scratch.h"
#include "convert.h"
#include "gemm.h"
#include "int8_output.h"
#include "int8_source.h"
#include "pack_int8.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Packed rows of one pass over the weights, and weights packed here, which stay in the last-level cache; packed rows that stay in a core's
// second-level cache while the panels stream past them.
constexpr int64_t kRowBytes = 1 << 23, kWeightBytes = 1 << 22, kStayingBytes = 3 << 17;
// Multiply-adds, and packed bytes, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 19, kPackGrain = 1 << 14;
// Groups between the places where a block of K may begin: one row of an AMX tile.
constexpr int64_t kBlockStep = 16;
constexpr int64_t kUnitsPerThread = 4;

struct Product {
  const Int8Kernel& kernel;
  int64_t m, n, k;
  Int8Weight weight;
};

// [0, count) in tiles of whole steps, all but the last one, whose numbers of steps differ by 1 at most. Of nothing there is an empty one.
struct Tiles {
  int64_t count, step;
  Pieces steps;

  Tiles(int64_t total, int64_t stepSize, int64_t largest)
      : count(total),
        step(stepSize),
        steps(std::max<int64_t>(1, (total + stepSize - 1) / stepSize), std::max<int64_t>(1, largest / stepSize)) {}
  int64_t tiles() const { return steps.pieces; }
  int64_t begin(int64_t tile) const { return std::min(count, steps.begin(tile) * step); }
  int64_t size(int64_t tile) const { return begin(tile + 1) - begin(tile); }
};

// Tiles of rows [0, rows) by all columns of packed panels; `store` takes finished sums.
template <class Store>
void multiply(const Product& product, int64_t rows, const char* packedRows, int64_t rowStride, const int8_t* weight, int64_t columns,
              const Store& store) {
  const Int8Kernel& kernel = product.kernel;
  const int64_t groups = groupsOf(product.k), weightBytes = panelBytes(product.k);
  const Tiles tiles(rows, kernel.rowsRead, kernel.rows),
      along(groups, kBlockStep, kernel.groupBlock ? kernel.groupBlock : roundUp(groups, kBlockStep));
  const Pieces down(tiles.tiles(), std::max<int64_t>(1, kStayingBytes / (kernel.rows * rowStride)));
  // A unit is as wide as gives every thread several.
  const int64_t panels = panelsOf(columns), widest = panels * down.pieces / (kernel.panels * kUnitsPerThread * threadCount());
  const Pieces across(panels, kernel.panels * std::clamp<int64_t>(widest, 1, kMaxUnitPanels / kernel.panels));
  const int64_t work = (rows / down.pieces + 1) * across.largest() * kPanelColumns * (product.k + 16);
  parallelFor(down.pieces * across.pieces, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    alignas(64) int32_t sums[kMaxSums];
    if (kernel.begin) kernel.begin();
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t d = unit / across.pieces, firstPanel = across.begin(unit % across.pieces);
      const Pieces pairs(across.size(unit % across.pieces), kernel.panels);
      const int64_t column = firstPanel * kPanelColumns, width = pairs.count * kPanelColumns;
      for (int64_t tile = down.begin(d); tile < down.begin(d + 1); ++tile) {
        const int64_t row = tiles.begin(tile), height = tiles.size(tile);
        // The rows of a block stay in the first-level cache while the panels stream past them.
        for (int64_t block = 0; block < along.tiles(); ++block) {
          const int64_t group = along.begin(block);
          const char* left = packedRows + row * rowStride + group * kGroup * kernel.elementBytes;
          for (int64_t pair = 0; pair < pairs.pieces; ++pair) {
            const int64_t panel = pairs.begin(pair);
            kernel.tile(static_cast<int>(height), static_cast<int>(pairs.size(pair)),
                        {along.size(block), left, rowStride, weight + (firstPanel + panel) * weightBytes + group * kGroupBytes, weightBytes,
                         sums + panel * kPanelColumns, width, block > 0});
          }
        }
        store(SumBlock{row, column, height, std::min(width, columns - column), sums, width});
      }
    }
    if (kernel.end) kernel.end();
  });
}

template <class Store>
Status run(const Product& product, const Int8Rows& source, const Store& store) {
  const int64_t m = product.m, n = product.n, k = product.k;
  if (m == 0 || n == 0) return Status::ok;
  const int64_t rowStride = source.stride(), weightBytes = panelBytes(k);
  const int64_t blockRows = std::min(m, std::max<int64_t>(product.kernel.rows, kRowBytes / rowStride));
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
    parallelFor(rows, std::max<int64_t>(1, kPackGrain / rowStride), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) source.pack(firstRow + row, packedRows + row * rowStride);
    });
    for (int64_t firstPanel = 0; firstPanel < allPanels; firstPanel += blockPanels) {
      const int64_t firstColumn = firstPanel * kPanelColumns, columns = std::min(n - firstColumn, blockPanels * kPanelColumns);
      const int8_t* weight = product.weight.data;
      if (!product.weight.packed) {
        const Int8Weight& rowMajor = product.weight;
        packInt8(columns, k, rowMajor.data + firstColumn * rowMajor.rowStride, rowMajor.rowStride, rowMajor.columnStride, packedWeight);
        weight = packedWeight;
      }
      multiply(product, rows, packedRows, rowStride, weight, columns, [&](SumBlock block) {
        block.row += firstRow;
        block.column += firstColumn;
        store(block);
      });
    }
  }
  return Status::ok;
}

}  // namespace

Status gemmInt8(int64_t m, int64_t n, int64_t k, const int8_t* a, int64_t aRowStride, int64_t aColumnStride, const Int8Weight& weight,
                int32_t* out, int64_t outRowStride, int64_t outColumnStride, const Int8Kernel& kernel) {
  const Int8Source source{a, DType::int8, aRowStride, aColumnStride, {}};
  return run({kernel, m, n, k, weight}, Int8Rows(kernel, source, k, nullptr), [&](const SumBlock& block) {
    for (int64_t i = 0; i < block.rows; ++i) {
      int32_t* to = out + (block.row + i) * outRowStride + block.column * outColumnStride;
      const int32_t* sums = block.sums + i * block.stride;
      if (outColumnStride == 1) {
        std::memcpy(to, sums, block.columns * sizeof(int32_t));
      } else {
        for (int64_t j = 0; j < block.columns; ++j) to[j * outColumnStride] = sums[j];
      }
    }
  });
}

Status gemmInt8Scaled(int64_t m, int64_t n, int64_t k, const Int8Source& a, const Int8Weight& weight, const Scales& weightScale,
                      const Int8Output& out, const Int8Kernel& kernel) {
  const FloatKernel& convert = floatKernel();
  const FloatOutput& real = out.real;
  thread_local ThreadBuffer memory;
  BufferPlan plan;
  const int64_t atRows = plan.add(m * sizeof(float)), atColumns = plan.add(n * sizeof(float)), atBias = plan.add(n * sizeof(float));
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  float* rowScale = reinterpret_cast<float*>(base + atRows);
  float* columnScale = reinterpret_cast<float*>(base + atColumns);
  float* bias = real.bias ? reinterpret_cast<float*>(base + atBias) : nullptr;
  widen(convert, weightScale.data, weightScale.dtype, 0, weightScale.stride, n, columnScale);
  if (bias) widen(convert, real.bias, real.biasDtype, 0, real.biasStride, n, bias);
  const Int8Finish finish(kernel, out, rowScale, columnScale, bias);
  return run({kernel, m, n, k, weight}, Int8Rows(kernel, a, k, rowScale), [&](const SumBlock& block) { finish.store(block); });
}

}  // namespace quanto::cpu
