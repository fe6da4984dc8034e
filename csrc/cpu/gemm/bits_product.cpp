#include "bits_product.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "../pool.h"
#include "../scratch.h"
#include "convert.h"
#include "float_product.h"
#include "int8_source.h"
#include "pack_int8.h"
#include "weight_form.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Packed rows of one pass over the weights, which stay in the last-level cache.
constexpr int64_t kRowBytes = 1 << 23;
// Multiply-adds, and packed bytes, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 18, kPackGrain = 1 << 14;
constexpr int64_t kUnitsPerThread = 4;
constexpr int64_t kPanels = 2, kWidth = kPanels * kBitsColumns;

// What differs between int8 and real rows.
struct Int8Codes {
  using Element = int8_t;
  using Sum = int32_t;
  static constexpr int64_t kStep = 64;  // values of a tile's row
  static constexpr int64_t kHeader = kPanelHeaderBytes;

  static void widen(const BitsTiles& tiles, BitsCode code, int64_t vectors, const uint8_t* codes, int8_t* out) {
    tiles.widen(code, vectors, codes, out);
  }
  static void accumulate(const BitsTiles& tiles, const BitsSums<int32_t>& sums) { tiles.accumulate(sums); }
  static void multiply(const BitsTiles& tiles, int, int rows, int panels, int64_t steps, const int8_t* a, int64_t aStride, int64_t,
                       const int8_t* weight, int64_t panelStride, int32_t* sums) {
    // Its blocks, each a row of tiles times a block of K, keep to what the kernel bears.
    const Int8Kernel& kernel = *tiles.kernel;
    const Pieces blocks(steps, kernel.groupBlock ? kernel.groupBlock * kGroup / kStep : steps);
    for (int64_t block = 0; block < blocks.pieces; ++block) {
      const int64_t first = blocks.begin(block) * kStep;
      kernel.tile(rows, panels,
                  {blocks.size(block) * kStep / kGroup, reinterpret_cast<const char*>(a + first), aStride,
                   weight + first * kBitsColumns - kHeader, panelStride, sums, kWidth, block > 0, nullptr});
    }
  }
};

struct RealTerms {
  using Element = uint16_t;
  using Sum = float;
  static constexpr int64_t kStep = 32;
  static constexpr int64_t kHeader = 0;

  static void widen(const BitsTiles& tiles, BitsCode code, int64_t vectors, const uint8_t* codes, uint16_t* out) {
    tiles.widenReal(code, vectors, codes, out);
  }
  static void accumulate(const BitsTiles& tiles, const BitsSums<float>& sums) { tiles.accumulateReal(sums); }
  static void multiply(const BitsTiles& tiles, int terms, int rows, int panels, int64_t steps, const uint16_t* a, int64_t aStride,
                       int64_t termStride, const uint16_t* weight, int64_t panelStride, float* sums) {
    tiles.tile(rows, panels,
               {terms, steps, reinterpret_cast<const char*>(a), aStride, termStride, reinterpret_cast<const char*>(weight), panelStride,
                sums, kWidth});
  }
};

template <class Rows>
struct BitsProduct {
  using Element = typename Rows::Element;
  const BitsTiles& tiles;
  WeightForm at;
  const uint8_t* data;
  const Scales &scale, &shift;  // shift.data may be null
  FloatProduct product;         // what finishes rows
  const float* rowScales;       // null, or what each row's sums are multiplied by
  int terms;                    // of real rows; else 1

  // A group is padded to whole rows of tiles, in rows of a as in widened codes.
  int64_t groupValues() const { return roundUp(at.groupSize, Rows::kStep); }
  int64_t termBytes() const { return at.groups() * groupValues() * static_cast<int64_t>(sizeof(Element)); }
  int64_t rowBytes() const { return oddLines(terms * termBytes()); }
  int64_t panelBytes() const { return Rows::kHeader + termBytes() * kBitsColumns; }
};

// Packed rows, and the sums of each over the groups, [rows][groups].
struct BitsRowBlock {
  int64_t first, count;
  const char* rows;
  const float* sums;
};

template <class Rows>
void widenPanel(const BitsProduct<Rows>& bits, int64_t panel, char* out) {
  const WeightForm& at = bits.at;
  const int64_t values = bitsValues(at.code), vectors = (at.groupSize + values - 1) / values;
  const int64_t written = vectors * values * kBitsColumns, all = bits.groupValues() * kBitsColumns;
  const uint8_t* codes = bits.data + panel * at.panelBytes();
  auto* widened = reinterpret_cast<typename Rows::Element*>(out + Rows::kHeader);
  for (int64_t group = 0; group < at.groups(); ++group, codes += vectors * kBitsVector, widened += all) {
    Rows::widen(bits.tiles, at.code, vectors, codes, widened);
    std::fill(widened + written, widened + all, 0);
  }
}

// One tile of rows by the panels of a unit.
template <class Rows>
void multiplyTile(const BitsProduct<Rows>& bits, const BitsRowBlock& block, int64_t row, int64_t rows, int64_t column, int panels,
                  const char* widened, const float* scale, const float* offset) {
  using Element = typename Rows::Element;
  const WeightForm& at = bits.at;
  alignas(64) typename Rows::Sum sums[kMaxTileHeight * kWidth];
  alignas(64) float c[kMaxTileHeight * kWidth] = {};
  const auto* left = reinterpret_cast<const Element*>(block.rows + row * bits.rowBytes());
  const auto* right = reinterpret_cast<const Element*>(widened + Rows::kHeader);
  const int64_t values = bits.groupValues();
  for (int64_t group = 0; group < at.groups(); ++group, left += values, right += values * kBitsColumns) {
    Rows::multiply(bits.tiles, bits.terms, static_cast<int>(rows), panels, values / Rows::kStep, left, bits.rowBytes(), bits.termBytes(),
                   right, bits.panelBytes(), sums);
    const int64_t first = group * kBitsColumns;
    Rows::accumulate(bits.tiles, {rows, panels, sums, scale + first, bits.shift.data ? offset + first : nullptr, at.groups() * kBitsColumns,
                                  block.sums + row * at.groups() + group, at.groups(), c});
  }
  const int64_t columns = std::min<int64_t>(panels * kBitsColumns, at.n - column);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = block.first + row + i;
    float* result = c + i * kWidth;
    if (bits.rowScales) {
      for (int64_t j = 0; j < columns; ++j) result[j] *= bits.rowScales[at];
    }
    finishRow(bits.product, at, column, columns, result);
  }
}

template <class Rows>
Status multiplyBlock(const BitsProduct<Rows>& bits, const BitsRowBlock& block) {
  const WeightForm& at = bits.at;
  const Int8Kernel& kernel = *bits.tiles.kernel;
  const Pieces pairs(at.panels(), kPanels);
  // Whole halves of tiles but for the last one.
  const int64_t halves = (block.count + kernel.rowsRead - 1) / kernel.rowsRead;
  // Rows are split only where there are too few panels for all threads.
  const int64_t wanted = std::min(halves, (kUnitsPerThread * threadCount() + pairs.pieces - 1) / pairs.pieces);
  const Pieces down(halves, halves / wanted);
  const int64_t work = (block.count * bits.terms / down.pieces + 1) * kWidth * (at.k + 1);
  std::atomic<Status> status{Status::ok};
  parallelFor(down.pieces * pairs.pieces, std::max<int64_t>(1, kGrain / work), [&](int64_t begin, int64_t end) {
    BufferPlan plan;
    const int64_t scales = kPanels * at.groups() * kBitsColumns;
    const int64_t atPanels = plan.add(kPanels * bits.panelBytes()), atScale = plan.add(scales * sizeof(float));
    const int64_t atOffset = plan.add(scales * sizeof(float));
    thread_local ThreadBuffer memory;
    char* base = static_cast<char*>(memory.get(plan.bytes));
    if (!base) {
      status = Status::outOfMemory;
      return;
    }
    char* widened = base + atPanels;
    auto *scale = reinterpret_cast<float*>(base + atScale), *offset = reinterpret_cast<float*>(base + atOffset);
    if (kernel.begin) kernel.begin();
    int64_t ready = -1;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t pair = unit / down.pieces, d = unit % down.pieces, firstPanel = pairs.begin(pair);
      const auto panels = static_cast<int>(pairs.size(pair));
      for (int p = 0; p < panels && ready != pair; ++p) {
        widenPanel(bits, firstPanel + p, widened + p * bits.panelBytes());
        const int64_t count = at.groups() * kBitsColumns;
        float *panelScale = scale + p * count, *panelOffset = offset + p * count;
        panelScales(bits.product.kernel, at, bits.scale, bits.shift, firstPanel + p, panelScale, panelOffset);
        // What a value of centred code 0 is.
        const auto center = static_cast<float>(bitsCenter(at.code));
        for (int64_t i = 0; bits.shift.data && i < count; ++i) panelOffset[i] = center * panelScale[i] - panelOffset[i];
      }
      ready = pair;
      const int64_t last = std::min(block.count, down.begin(d + 1) * kernel.rowsRead);
      for (int64_t row = down.begin(d) * kernel.rowsRead; row < last; row += kernel.rows) {
        multiplyTile(bits, block, row, std::min<int64_t>(kernel.rows, last - row), firstPanel * kBitsColumns, panels, widened, scale,
                     offset);
      }
    }
    if (kernel.end) kernel.end();
  });
  return status;
}

// pack(row, out, sums) makes the elements of a row, groups a whole number of tiles apart, for each term, and each group's sum.
template <class Rows, class Pack>
Status multiplyAll(const BitsProduct<Rows>& bits, const Pack& pack) {
  using Element = typename Rows::Element;
  const WeightForm& at = bits.at;
  const int64_t m = bits.product.m, bytes = bits.rowBytes(), tallest = bits.tiles.kernel->rows, values = bits.groupValues();
  const int64_t blockRows = std::min(m, std::max<int64_t>(1, kRowBytes / bytes / tallest) * tallest);
  BufferPlan plan;
  const int64_t atRows = plan.add(roundUp(blockRows, tallest) * bytes), atSums = plan.add(blockRows * at.groups() * sizeof(float));
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto* sums = reinterpret_cast<float*>(base + atSums);
  for (int64_t first = 0; first < m; first += blockRows) {
    const int64_t count = std::min(blockRows, m - first);
    std::atomic<Status> packing{Status::ok};
    parallelFor(count, std::max<int64_t>(1, kPackGrain / bytes), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        auto* out = reinterpret_cast<Element*>(base + atRows + i * bytes);
        const Status packed = pack(first + i, out, sums + i * at.groups());
        if (packed != Status::ok) packing = packed;
        for (int64_t group = 0; group < bits.terms * at.groups(); ++group, out += values) std::fill(out + at.groupSize, out + values, 0);
      }
    });
    if (packing != Status::ok) return packing;
    const Status status = multiplyBlock(bits, {first, count, base + atRows, sums});
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

int termsOf(Precision precision) { return precision == Precision::highest ? 3 : precision == Precision::high ? 2 : 1; }

}  // namespace

Status gemmBitsByTerms(int64_t m, int64_t n, int64_t k, const Matrix& a, const BitsWeight& weight, const Scales& scale, const Scales& shift,
                       const FloatOutput& out, Precision precision, const BitsTiles& tiles) {
  if (m == 0 || n == 0) return Status::ok;
  const FloatKernel& kernel = floatKernel();
  thread_local ThreadBuffer memory;
  float* bias = out.bias ? static_cast<float*>(memory.get(n * sizeof(float))) : nullptr;
  if (out.bias && !bias) return Status::outOfMemory;
  if (bias) widen(kernel, out.bias, out.biasDtype, 0, out.biasStride, n, bias);
  const FloatProduct product{kernel, m, n, k, {}, {}, nullptr, nullptr, bias, out, nullptr};
  const BitsProduct<RealTerms> bits{tiles,   WeightForm(weight, n, k), static_cast<const uint8_t*>(weight.data), scale, shift, product,
                                    nullptr, termsOf(precision)};
  const int64_t size = weight.groupSize, groups = bits.at.groups(), termStride = groups * bits.groupValues();
  return multiplyAll(bits, [&](int64_t row, uint16_t* terms, float* sums) {
    constexpr int64_t kStrip = 512;
    for (int64_t group = 0; group < groups; ++group, terms += bits.groupValues()) {
      sums[group] = 0;
      for (int64_t begin = 0; begin < size; begin += kStrip) {
        float buffer[kStrip], part;
        const int64_t count = std::min(kStrip, size - begin);
        const float* values = widenedRow(kernel, a, row, group * size + begin, count, buffer);
        tiles.split(bits.terms, count, values, terms + begin, termStride);
        sumGroups(1, count, values, &part, 1);
        sums[group] += part;
      }
    }
    return Status::ok;
  });
}

Status gemmBitsInt8ByTiles(int64_t m, int64_t n, int64_t k, const Int8Source& a, const BitsWeight& weight, const Scales& scale,
                           const Scales& shift, const FloatOutput& out, const BitsTiles& tiles) {
  if (m == 0 || n == 0) return Status::ok;
  const FloatKernel& kernel = floatKernel();
  BufferPlan plan;
  const int64_t atScales = plan.add(m * sizeof(float)), atBias = plan.add(n * sizeof(float));
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto *rowScales = reinterpret_cast<float*>(base + atScales), *bias = reinterpret_cast<float*>(base + atBias);
  if (out.bias) widen(kernel, out.bias, out.biasDtype, 0, out.biasStride, n, bias);
  const FloatProduct product{kernel, m, n, k, {}, {}, nullptr, nullptr, out.bias ? bias : nullptr, out, nullptr};
  const BitsProduct<Int8Codes> bits{
      tiles, WeightForm(weight, n, k), static_cast<const uint8_t*>(weight.data), scale, shift, product, rowScales, 1};
  const int64_t size = weight.groupSize;
  const CodeRows rows(a, k);
  return multiplyAll(bits, [&](int64_t row, int8_t* codes, float* sums) {
    thread_local ThreadBuffer own;
    auto* buffer = static_cast<int8_t*>(own.get(k));
    if (!buffer) return Status::outOfMemory;
    rowScales[row] = rows.scaleOf(row);
    const int8_t* in = rows.codes(row, rowScales[row], buffer);
    for (int64_t group = 0; group < bits.at.groups(); ++group, in += size, codes += bits.groupValues()) {
      std::memcpy(codes, in, size);
      int64_t total = 0;
      for (int64_t l = 0; l < size; ++l) total += in[l];
      sums[group] = static_cast<float>(total);
    }
    return Status::ok;
  });
}

}  // namespace quanto::cpu
