#include <algorithm>

#include "../pool.h"
#include "../scratch.h"
#include "convert.h"
#include "gemm.h"
#include "kernels.h"
#include "pack_int8.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Packed rows that stay in a core's second-level cache, and packed weights that stay in the last level.
constexpr int64_t kRowBytes = 1 << 19, kWeightBytes = 1 << 22;
// Tiles down in a unit of parallel work.
constexpr int64_t kTilesDown = 16;
// Multiply-adds, and packed bytes, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 19, kPackGrain = 1 << 14;
constexpr int kMaxTileRows = 16, kMaxTileColumns = 64;

struct Int8Product {
  const Int8Kernel& kernel;
  int64_t m, n, k;
  const int8_t* a;
  int64_t aRowStride, aColumnStride;
  Int8Weight weight;
};

// Takes finished sums; `sums` is [rows][stride], and lives on the stack of the thread that made it.
template <class Store>
Status run(const Int8Product& product, const Store& store) {
  const Int8Kernel& kernel = product.kernel;
  const int64_t m = product.m, n = product.n, k = product.k;
  if (m == 0 || n == 0) return Status::ok;
  const int64_t groups = groupsOf(k), rowBytes = groups * kGroup * kernel.elementBytes, weightBytes = panelBytes(k);
  const int64_t blockRows = std::min(m, std::max<int64_t>(kernel.rows, kRowBytes / std::max<int64_t>(rowBytes, 1)));
  const int64_t allPanels = panelsOf(n);
  const int64_t blockPanels =
      product.weight.packed ? allPanels : std::min(allPanels, roundUp(std::max<int64_t>(1, kWeightBytes / weightBytes), kernel.panels));

  BufferPlan plan;
  const int64_t atRows = plan.add(blockRows * rowBytes);
  const int64_t atWeight = plan.add(product.weight.packed ? 0 : blockPanels * weightBytes);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  char* packedRows = base + atRows;
  int8_t* packedWeight = reinterpret_cast<int8_t*>(base + atWeight);

  for (int64_t firstPanel = 0; firstPanel < allPanels; firstPanel += blockPanels) {
    const int64_t panels = std::min(blockPanels, allPanels - firstPanel);
    const int64_t firstColumn = firstPanel * kPanelColumns, columns = std::min(n - firstColumn, panels * kPanelColumns);
    const int8_t* weight = product.weight.data;
    if (!product.weight.packed) {
      const Int8Weight& source = product.weight;
      packInt8(columns, k, source.data + firstColumn * source.rowStride, source.rowStride, source.columnStride, packedWeight);
      weight = packedWeight;
    }
    for (int64_t firstRow = 0; firstRow < m; firstRow += blockRows) {
      const Pieces rowTiles(std::min(blockRows, m - firstRow), kernel.rows);
      const int64_t packGrain = std::max<int64_t>(1, kPackGrain / (kernel.rows * rowBytes + 1));
      parallelFor(rowTiles.pieces, packGrain, [&](int64_t begin, int64_t end) {
        for (int64_t tile = begin; tile < end; ++tile) {
          const int64_t row = rowTiles.begin(tile);
          kernel.packRows(static_cast<int>(rowTiles.size(tile)), k, product.a + (firstRow + row) * product.aRowStride, product.aRowStride,
                          product.aColumnStride, packedRows + row * rowBytes);
        }
      });

      const Pieces down(rowTiles.pieces, kTilesDown), across(panels, kernel.panels);
      const int64_t work = (rowTiles.count / down.pieces + 1) * kernel.panels * kPanelColumns * (k + 16);
      parallelFor(down.pieces * across.pieces, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
        alignas(64) int32_t sums[kMaxTileRows * kMaxTileColumns];
        for (int64_t unit = begin; unit < end; ++unit) {
          const int64_t panel = across.begin(unit % across.pieces), tilePanels = across.size(unit % across.pieces);
          const int64_t column = panel * kPanelColumns, width = tilePanels * kPanelColumns;
          const int64_t r = unit / across.pieces;
          for (int64_t tile = down.begin(r); tile < down.begin(r + 1); ++tile) {
            const int64_t row = rowTiles.begin(tile), rows = rowTiles.size(tile);
            kernel.tile(static_cast<int>(rows), static_cast<int>(tilePanels),
                        {groups, packedRows + row * rowBytes, weight + panel * weightBytes, weightBytes, sums, width});
            store(firstRow + row, rows, firstColumn + column, std::min(width, columns - column), sums, width);
          }
        }
      });
    }
  }
  return Status::ok;
}

}  // namespace

Status gemmInt8(int64_t m, int64_t n, int64_t k, const int8_t* a, int64_t aRowStride, int64_t aColumnStride, const Int8Weight& weight,
                int32_t* out, int64_t outRowStride, int64_t outColumnStride) {
  const auto store = [&](int64_t row, int64_t rows, int64_t column, int64_t columns, const int32_t* sums, int64_t stride) {
    for (int64_t i = 0; i < rows; ++i) {
      int32_t* to = out + (row + i) * outRowStride + column * outColumnStride;
      for (int64_t j = 0; j < columns; ++j) to[j * outColumnStride] = sums[i * stride + j];
    }
  };
  return run({int8Kernel(), m, n, k, a, aRowStride, aColumnStride, weight}, store);
}

Status gemmInt8Scaled(int64_t m, int64_t n, int64_t k, const int8_t* a, int64_t aRowStride, const Int8Weight& weight, const Scales& aScale,
                      const Scales& weightScale, const FloatOutput& out) {
  const FloatKernel& convert = floatKernel();
  const Int8Kernel& kernel = int8Kernel();
  thread_local ThreadBuffer memory;
  BufferPlan plan;
  const int64_t atRows = plan.add(m * sizeof(float)), atColumns = plan.add(n * sizeof(float)), atBias = plan.add(n * sizeof(float));
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  float* rowScale = reinterpret_cast<float*>(base + atRows);
  float* columnScale = reinterpret_cast<float*>(base + atColumns);
  float* bias = out.bias ? reinterpret_cast<float*>(base + atBias) : nullptr;
  widen(convert, aScale.data, aScale.dtype, 0, aScale.stride, m, rowScale);
  widen(convert, weightScale.data, weightScale.dtype, 0, weightScale.stride, n, columnScale);
  if (bias) widen(convert, out.bias, out.biasDtype, 0, out.biasStride, n, bias);

  const bool plain = out.dtype == DType::float32 && out.columnStride == 1;
  const auto store = [&](int64_t row, int64_t rows, int64_t column, int64_t columns, const int32_t* sums, int64_t stride) {
    alignas(64) float aside[kMaxTileColumns];
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t offset = (row + i) * out.rowStride + column * out.columnStride;
      float* scaled = plain ? static_cast<float*>(out.data) + offset : aside;
      kernel.scaleRow(columns, sums + i * stride, rowScale[row + i], columnScale + column, bias ? bias + column : nullptr, scaled);
      if (!plain) narrow(convert, aside, columns, out.data, out.dtype, offset, out.columnStride);
    }
  };
  return run({kernel, m, n, k, a, aRowStride, 1, weight}, store);
}

}  // namespace quanto::cpu
