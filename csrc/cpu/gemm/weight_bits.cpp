#include "weight_bits.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "../pool.h"
#include "../scratch.h"
#include "bits_product.h"
#include "convert.h"
#include "float_product.h"
#include "gemm.h"
#include "int8_source.h"
#include "weight_bits_loops.h"
#include "weight_form.h"
#include "workspace.h"

namespace quanto::cpu {
namespace {

// Multiply-adds, and codes, that repay handing a piece to another thread.
constexpr int64_t kGrain = 1 << 16, kPackGrain = 1 << 13;

int64_t packGrain(const WeightForm& at) { return std::max<int64_t>(1, kPackGrain / (kBitsColumns * at.k + 1)); }

// Codes as files have them: float8 in rows; of 2 and 4 bits row n * groups + g of [rows][groupSize], packed by rows as packBits does.
struct Rows {
  const WeightForm& layout;
  int64_t packedRows;

  explicit Rows(const WeightForm& of) : layout(of), packedRows((of.n * of.groups() * bitsOf(of.code) + 7) / 8) {}
  int64_t byte(int64_t row) const { return row % packedRows * layout.groupSize; }
  int bit(int64_t row) const { return static_cast<int>(row / packedRows) * bitsOf(layout.code); }
};

void packPanel(const Rows& rows, const uint8_t* source, int64_t panel, uint8_t* out) {
  const WeightForm& at = rows.layout;
  const int64_t values = bitsValues(at.code), first = panel * kBitsColumns, columns = std::min<int64_t>(kBitsColumns, at.n - first);
  const int bits = bitsOf(at.code);
  const uint32_t mask = (1u << bits) - 1, center = static_cast<uint32_t>(bitsCenter(at.code));
  std::memset(out, 0, at.panelBytes());
  for (int64_t group = 0; group < at.groups(); ++group, out += bitsGroupBytes(at.code, at.groupSize)) {
    for (int64_t j = 0; j < columns; ++j) {
      if (bits == 8) {
        const uint8_t* codes = source + (first + j) * at.k + group * at.groupSize;
        for (int64_t l = 0; l < at.groupSize; ++l) out[l * kBitsColumns + j] = codes[l];
        continue;
      }
      const int64_t row = (first + j) * at.groups() + group;
      const uint8_t* codes = source + rows.byte(row);
      const int bit = rows.bit(row);
      for (int64_t l = 0; l < at.groupSize; l += values) {
        uint32_t packed = 0;
        for (int64_t p = std::min(values, at.groupSize - l) - 1; p >= 0; --p)
          packed = packed << bits | (((codes[l + p] >> bit) - center) & mask);
        std::memcpy(out + l / values * kBitsVector + j * 4, &packed, 4);
      }
    }
  }
}

// The code of column n, value l of a group; the reverse of packPanel.
uint8_t codeAt(const WeightForm& at, const uint8_t* panel, int64_t column, int64_t group, int64_t l) {
  const uint8_t* codes = panel + group * bitsGroupBytes(at.code, at.groupSize);
  if (bitsOf(at.code) == 8) return codes[l * kBitsColumns + column];
  const int64_t values = bitsValues(at.code);
  const int bits = bitsOf(at.code);
  uint32_t packed;
  std::memcpy(&packed, codes + l / values * kBitsVector + column * 4, 4);
  return static_cast<uint8_t>(((packed >> (bits * (l % values))) + static_cast<uint32_t>(bitsCenter(at.code))) & ((1u << bits) - 1));
}

// A weight on its way through a product.
struct Source {
  const FloatKernel& kernel;
  const BitsKernel& bits;
  WeightForm at;
  const uint8_t* data;
  const Scales &scale, &shift;  // shift.data may be null

  const uint8_t* panel(int64_t index) const { return data + index * at.panelBytes(); }

  // For the tiles of a product of many rows: columns from a multiple of 16 on.
  static void fill(const void* context, int64_t column, int64_t columns, int64_t firstK, int64_t k, float* out, int64_t width) {
    const Source& source = *static_cast<const Source*>(context);
    const WeightForm& at = source.at;
    constexpr int64_t kGroups = 32;
    alignas(64) float scale[kGroups * kBitsColumns], shifts[kGroups * kBitsColumns];
    float* shift = source.shift.data ? shifts : nullptr;
    int64_t end;
    for (int64_t begin = firstK; begin < firstK + k; begin = end) {
      const int64_t firstGroup = begin / at.groupSize;
      end = std::min(firstK + k, (firstGroup + kGroups) * at.groupSize);
      const int64_t groups = (end - 1) / at.groupSize - firstGroup + 1;
      for (int64_t j = 0; j < columns; j += kBitsColumns) {
        const int64_t panel = (column + j) / kBitsColumns;
        transposeGroups(source.kernel, source.scale, at.n, at.groups(), panel, firstGroup, groups, scale);
        if (shift) transposeGroups(source.kernel, source.shift, at.n, at.groups(), panel, firstGroup, groups, shift);
        source.bits.unpack(
            {at.code, at.groupSize, source.panel(panel), begin, end - begin, scale, shift, out + (begin - firstK) * width + j, width});
      }
    }
  }
};

// Where a kernel puts the sums of some rows and a panel: in the output itself where that is plain, else in a buffer on their way there.
struct PanelOutput {
  const FloatProduct& product;
  int64_t column;
  alignas(64) float buffer[kMaxBitsRows * kBitsColumns];

  explicit PanelOutput(const FloatProduct& of, int64_t panel) : product(of), column(panel * kBitsColumns) {}
  int64_t columns() const { return std::min<int64_t>(kBitsColumns, product.n - column); }
  bool direct() const {
    const FloatOutput& out = product.out;
    return out.dtype == DType::float32 && out.columnStride == 1 && columns() == kBitsColumns;
  }
  const float* bias() const { return direct() && product.bias ? product.bias + column : nullptr; }
  float* at(int64_t row) { return direct() ? static_cast<float*>(product.out.data) + row * product.out.rowStride + column : buffer; }
  int64_t stride() const { return direct() ? product.out.rowStride : kBitsColumns; }
  void finish(int64_t row, int64_t rows) {
    for (int64_t i = 0; i < rows && !direct(); ++i) finishRow(product, row + i, column, columns(), buffer + i * kBitsColumns);
  }
};

// The few rows of a as plain float32.
const float* plainRows(const FloatKernel& kernel, const Matrix& a, int64_t m, int64_t k, float* buffer, int64_t* stride) {
  if (a.dtype == DType::float32 && a.columnStride == 1) {
    *stride = a.rowStride;
    return static_cast<const float*>(a.data);
  }
  for (int64_t i = 0; i < m; ++i) widen(kernel, a.data, a.dtype, i * a.rowStride, a.columnStride, k, buffer + i * k);
  *stride = k;
  return buffer;
}

// Rows side by side: out[l * count + i].
void interleaveRows(const FloatKernel& kernel, int64_t count, int64_t k, const float* rows, int64_t stride, float* out) {
  if (count == 1) std::copy_n(rows, k, out);
  else transpose(kernel, count, k, rows, stride, out, count);
}

Status streamBits(const Source& source, int64_t m, const Matrix& a, const FloatOutput& out) {
  const WeightForm& at = source.at;
  const int64_t groups = at.groups();
  const bool shifted = source.shift.data;
  BufferPlan plan;
  const int64_t atPlain = plan.add(m * at.k * sizeof(float)), atRows = plan.add(m * at.k * sizeof(float));
  const int64_t atSums = plan.add(m * groups * sizeof(float)), atBias = plan.add(at.n * sizeof(float));
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto *rows = reinterpret_cast<float*>(base + atRows), *sums = reinterpret_cast<float*>(base + atSums);
  auto* bias = reinterpret_cast<float*>(base + atBias);
  int64_t stride;
  const float* plain = plainRows(source.kernel, a, m, at.k, reinterpret_cast<float*>(base + atPlain), &stride);
  // Nearly equal pieces: few rows waste the unpacking.
  const Pieces pieces(m, source.bits.rows);
  for (int64_t piece = 0; piece < pieces.pieces; ++piece) {
    const int64_t row = pieces.begin(piece), count = pieces.size(piece);
    interleaveRows(source.kernel, count, at.k, plain + row * stride, stride, rows + row * at.k);
    for (int64_t i = 0; i < count && shifted; ++i)
      sumGroups(groups, at.groupSize, plain + (row + i) * stride, sums + row * groups + i, count);
  }
  if (out.bias) widen(source.kernel, out.bias, out.biasDtype, 0, out.biasStride, at.n, bias);

  const FloatProduct product{source.kernel, m, at.n, at.k, a, {}, nullptr, nullptr, out.bias ? bias : nullptr, out, nullptr};
  const int64_t grain = std::max<int64_t>(1, kGrain / (kBitsColumns * m * at.k + 1));
  std::atomic<Status> status{Status::ok};
  parallelFor(at.panels(), grain, [&](int64_t begin, int64_t end) {
    thread_local ThreadBuffer own;
    const int64_t count = groups * kBitsColumns;
    float* scale = static_cast<float*>(own.get(2 * count * sizeof(float) + 64));
    if (!scale) {
      status = Status::outOfMemory;
      return;
    }
    float* shift = scale + count;
    for (int64_t panel = begin; panel < end; ++panel) {
      panelScales(source.kernel, at, source.scale, source.shift, panel, scale, shift);
      PanelOutput to(product, panel);
      for (int64_t piece = 0; piece < pieces.pieces; ++piece) {
        const int64_t row = pieces.begin(piece), taken = pieces.size(piece);
        source.bits.stream(static_cast<int>(taken), {at.code, groups, at.groupSize, source.panel(panel), scale, shifted ? shift : nullptr,
                                                     rows + row * at.k, sums + row * groups, to.bias(), to.at(row), to.stride()});
        to.finish(row, taken);
      }
    }
  });
  return status;
}

// Values that are cut into parts together.
constexpr int kPlaced = 32;

// The parts of some values of a row, one of `rows` side by side; returns where the next ones go.
template <int parts, int count>
int8_t* placeParts(const int8_t* values, int64_t rows, int8_t* out) {
  constexpr int kEach = count / parts;
  int8_t split[parts][kEach];
  for (int p = 0; p < parts; ++p) {
    for (int i = 0; i < kEach; ++i) split[p][i] = values[i * parts + p];
  }
  for (int i = 0; i < kEach; i += 4) {
    for (int p = 0; p < parts; ++p, out += rows * 4) std::memcpy(out, split[p] + i, 4);
  }
  return out;
}

// A row of int8, one of `rows` side by side, in the order of the parts of a weight's vectors, and its sums over each group, as
// BitsIntegerRows has them.
template <int parts>
void packIntegers(const WeightForm& at, const int8_t* row, int64_t rows, int8_t* out, float* sums, int32_t* centring) {
  constexpr int kValues = 4 * parts;
  for (int64_t group = 0; group < at.groups(); ++group, row += at.groupSize) {
    int64_t sum = 0;
    for (int64_t l = 0; l < at.groupSize; ++l) sum += row[l];
    sums[group * rows] = static_cast<float>(sum);
    // It may wrap around; with the sum of the codes it is what fits.
    centring[group * rows] = static_cast<int32_t>(-bitsCenter(at.code) * sum);
    int64_t l = 0;
    for (; l + kPlaced <= at.groupSize; l += kPlaced) out = placeParts<parts, kPlaced>(row + l, rows, out);
    for (; l + kValues <= at.groupSize; l += kValues) out = placeParts<parts, kValues>(row + l, rows, out);
    if (l == at.groupSize) continue;
    int8_t rest[kValues] = {};
    std::memcpy(rest, row + l, at.groupSize - l);
    out = placeParts<parts, kValues>(rest, rows, out);
  }
}

// Panels that are multiplied together where a kernel does so.
constexpr int64_t kPair = 2;

// Packed rows that stay in a core's second-level cache.
constexpr int64_t kRowBytes = 1 << 19;

}  // namespace

Status gemmBitsInt8(int64_t m, int64_t n, int64_t k, const Int8Source& a, const BitsWeight& weight, const Scales& scale,
                    const Scales& shift, const FloatOutput& out) {
  if (m == 0 || n == 0) return Status::ok;
  const BitsTiles* tiles = bitsKernel().tiles;
  if (tiles && m > (weight.groupSize < 64 ? tiles->multipliedSmall : tiles->multiplied))
    return gemmBitsInt8ByTiles(m, n, k, a, weight, scale, shift, out, *tiles);
  const Source source{floatKernel(), bitsKernel(), WeightForm(weight, n, k), static_cast<const uint8_t*>(weight.data), scale, shift};
  const WeightForm& at = source.at;
  const int64_t groups = at.groups(), values = bitsValues(at.code);
  const int64_t rowBytes = groups * ((at.groupSize + values - 1) / values) * values;
  const int64_t blockRows = std::min(m, std::max<int64_t>(kMaxBitsRows, kRowBytes / (rowBytes + 1) / kMaxBitsRows * kMaxBitsRows));
  BufferPlan plan;
  const int64_t atRows = plan.add(blockRows * rowBytes), atSums = plan.add(blockRows * groups * sizeof(float));
  const int64_t atCentring = plan.add(blockRows * groups * sizeof(int32_t));
  const int64_t atScales = plan.add(m * sizeof(float)), atBias = plan.add(n * sizeof(float));
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto* rows = reinterpret_cast<int8_t*>(base + atRows);
  auto* sums = reinterpret_cast<float*>(base + atSums);
  auto* centring = reinterpret_cast<int32_t*>(base + atCentring);
  auto *rowScales = reinterpret_cast<float*>(base + atScales), *bias = reinterpret_cast<float*>(base + atBias);
  if (out.bias) widen(source.kernel, out.bias, out.biasDtype, 0, out.biasStride, n, bias);
  const FloatProduct product{source.kernel, m, n, k, {}, {}, nullptr, nullptr, out.bias ? bias : nullptr, out, nullptr};
  const auto pack = at.code == BitsCode::int2 ? packIntegers<4> : packIntegers<2>;
  const CodeRows codeRows(a, k);
  std::atomic<Status> status{Status::ok};
  for (int64_t first = 0; first < m; first += blockRows) {
    const int64_t taken = std::min(blockRows, m - first);
    const int64_t together = source.bits.multiplyPair ? source.bits.pairRows : kMaxBitsRows;
    const Pieces pieces(taken, together);
    parallelFor(taken, std::max<int64_t>(1, kPackGrain / (k + 1)), [&](int64_t begin, int64_t end) {
      thread_local ThreadBuffer own;
      auto* buffer = static_cast<int8_t*>(own.get(k));
      if (!buffer) {
        status = Status::outOfMemory;
        return;
      }
      for (int64_t row = begin; row < end; ++row) {
        const float rowScale = rowScales[first + row] = codeRows.scaleOf(first + row);
        const int64_t piece = pieces.of(row), begun = pieces.begin(piece), within = row - begun;
        pack(at, codeRows.codes(first + row, rowScale, buffer), pieces.size(piece), rows + begun * rowBytes + within * 4,
             sums + begun * groups + within, centring + begun * groups + within);
      }
    });
    const Pieces pairs(at.panels(), kPair);
    const int64_t grain = std::max<int64_t>(1, 4 * kGrain / (kPair * kBitsColumns * taken * k + 1));
    parallelFor(pairs.pieces, grain, [&](int64_t begin, int64_t end) {
      thread_local ThreadBuffer own;
      const int64_t count = groups * kBitsColumns;
      float* scales = static_cast<float*>(own.get(2 * kPair * count * sizeof(float) + 64));
      if (!scales) {
        status = Status::outOfMemory;
        return;
      }
      float* shifts = scales + kPair * count;
      for (int64_t pair = begin; pair < end; ++pair) {
        const int64_t firstPanel = pairs.begin(pair), panels = pairs.size(pair);
        for (int64_t p = 0; p < panels; ++p)
          panelScales(source.kernel, at, scale, shift, firstPanel + p, scales + p * count, shifts + p * count);
        const bool both = source.bits.multiplyPair && panels == kPair && PanelOutput(product, firstPanel + 1).direct();
        for (int64_t p = 0; p < (both ? 1 : panels); ++p) {
          PanelOutput to(product, firstPanel + p);
          for (int64_t piece = 0; piece < pieces.pieces; ++piece) {
            const int64_t row = pieces.begin(piece), height = pieces.size(piece);
            (both ? source.bits.multiplyPair : source.bits.multiply)(
                static_cast<int>(height), {at.code, groups, at.groupSize, source.panel(firstPanel + p), scales + p * count,
                                           shifts + p * count, rows + row * rowBytes, sums + row * groups, centring + row * groups,
                                           rowScales + first + row, to.bias(), to.at(first + row), to.stride(), at.panelBytes(), count});
            to.finish(first + row, height);
          }
        }
      }
    });
  }
  return status;
}

int64_t packedBitsBytes(int64_t n, int64_t k, const BitsWeight& weight) {
  const WeightForm at(weight, n, k);
  return at.panels() * at.panelBytes();
}

void packBitsWeight(int64_t n, int64_t k, const BitsWeight& weight, const uint8_t* source, uint8_t* packed) {
  const WeightForm at(weight, n, k);
  const Rows rows(at);
  parallelFor(at.panels(), packGrain(at), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) packPanel(rows, source, panel, packed + panel * at.panelBytes());
  });
}

void unpackBitsWeight(int64_t n, int64_t k, const BitsWeight& weight, const uint8_t* packed, uint8_t* out) {
  const WeightForm at(weight, n, k);
  const Rows rows(at);
  const int64_t allRows = n * at.groups();
  parallelFor(rows.packedRows, std::max<int64_t>(1, kPackGrain / (at.groupSize + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t byteRow = begin; byteRow < end; ++byteRow) {
      uint8_t* target = out + byteRow * at.groupSize;
      std::fill(target, target + at.groupSize, uint8_t{0});
      for (int64_t row = byteRow; row < allRows; row += rows.packedRows) {
        const int64_t column = row / at.groups(), group = row % at.groups();
        const uint8_t* panel = packed + column / kBitsColumns * at.panelBytes();
        for (int64_t l = 0; l < at.groupSize; ++l) {
          const int code = codeAt(at, panel, column % kBitsColumns, group, l);
          target[l] = static_cast<uint8_t>(target[l] | code << rows.bit(row));
        }
      }
    }
  });
}

Status gemmBits(int64_t m, int64_t n, int64_t k, const Matrix& a, const BitsWeight& weight, const Scales& scale, const Scales& shift,
                const FloatOutput& out, Precision precision) {
  if (m == 0 || n == 0) return Status::ok;
  const Source source{floatKernel(), bitsKernel(), WeightForm(weight, n, k), static_cast<const uint8_t*>(weight.data), scale, shift};
  const BitsTiles* tiles = source.bits.tiles;
  if (tiles && m > tiles->streamed) return gemmBitsByTerms(m, n, k, a, weight, scale, shift, out, precision, *tiles);
  if (m <= source.bits.skinny) return streamBits(source, m, a, out);
  return gemmFloat(m, n, k, a, TileSource{&source, Source::fill}, out);
}

}  // namespace quanto::cpu
