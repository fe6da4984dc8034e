#include "pack_int8.h"

#include <algorithm>
#include <cstring>

#include "../pool.h"
#include "gemm.h"

namespace quanto::cpu {
namespace {

// Panels in one piece of parallel work: about 64 KiB of codes.
int64_t panelGrain(int64_t k) { return std::max<int64_t>(1, 65536 / panelBytes(k)); }

// Columns that lie side by side, as in the right operand of a product: each group interleaves four rows, which the compiler vectorizes.
void interleavePanel(int64_t columns, int64_t k, const int8_t* in, int64_t stride, int8_t* panel) {
  // So many sums of four codes fit in 16 bits.
  constexpr int64_t kStrip = 32;
  int32_t sums[kPanelColumns] = {};
  int8_t* out = panel + kPanelHeaderBytes;
  int8_t padded[kGroup][kPanelColumns] = {};
  for (int64_t strip = 0; strip < k; strip += kStrip * kGroup) {
    int16_t partial[kPanelColumns] = {};
    for (int64_t l = strip; l < std::min(k, strip + kStrip * kGroup); l += kGroup, out += kGroupBytes) {
      const int8_t* rows[kGroup];
      for (int r = 0; r < kGroup; ++r) {
        const bool whole = l + r < k && columns == kPanelColumns;
        rows[r] = whole ? in + (l + r) * stride : padded[r];
        if (whole) continue;
        if (l + r < k) std::memcpy(padded[r], in + (l + r) * stride, columns);
        else std::memset(padded[r], 0, kPanelColumns);
      }
      for (int j = 0; j < kPanelColumns; ++j) {
        for (int r = 0; r < kGroup; ++r) out[j * kGroup + r] = rows[r][j];
      }
      for (int j = 0; j < kPanelColumns; ++j)
        partial[j] = static_cast<int16_t>(partial[j] + rows[0][j] + rows[1][j] + rows[2][j] + rows[3][j]);
    }
    for (int j = 0; j < kPanelColumns; ++j)
      sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) + static_cast<uint32_t>(partial[j]));
  }
  std::memcpy(panel, sums, sizeof sums);
}

}  // namespace

void packInt8Panel(int64_t columns, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, int8_t* panel) {
  if (rowStride == 1 && columnStride != 1) {
    interleavePanel(columns, k, in, columnStride, panel);
    return;
  }
  int32_t sums[kPanelColumns] = {};
  int8_t* groups = panel + kPanelHeaderBytes;
  if (columns < kPanelColumns) std::memset(groups, 0, groupsOf(k) * kGroupBytes);
  for (int64_t j = 0; j < columns; ++j) {
    const int8_t* row = in + j * rowStride;
    int8_t* out = groups + j * kGroup;
    // Unsigned, because a sum past 2^31 wraps, and so must undo itself.
    uint32_t sum = 0;
    const int64_t whole = k / kGroup;
    if (columnStride == 1) {
      for (int64_t g = 0; g < whole; ++g) std::memcpy(out + g * kGroupBytes, row + g * kGroup, kGroup);
      for (int64_t l = 0; l < k; ++l) sum += static_cast<uint32_t>(row[l]);
    } else {
      for (int64_t l = 0; l < whole * kGroup; ++l) {
        const int8_t value = row[l * columnStride];
        out[l / kGroup * kGroupBytes + l % kGroup] = value;
        sum += static_cast<uint32_t>(value);
      }
      for (int64_t l = whole * kGroup; l < k; ++l) sum += static_cast<uint32_t>(row[l * columnStride]);
    }
    for (int64_t l = whole * kGroup; l < groupsOf(k) * kGroup; ++l)
      out[whole * kGroupBytes + l % kGroup] = l < k ? row[l * columnStride] : 0;
    sums[j] = static_cast<int32_t>(sum);
  }
  std::memcpy(panel, sums, sizeof sums);
}

int64_t packedInt8Bytes(int64_t n, int64_t k) { return panelsOf(n) * panelBytes(k); }

void packInt8(int64_t n, int64_t k, const int8_t* source, int64_t rowStride, int64_t columnStride, void* packed) {
  parallelFor(panelsOf(n), panelGrain(k), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * kPanelColumns;
      packInt8Panel(std::min<int64_t>(kPanelColumns, n - first), k, source + first * rowStride, rowStride, columnStride,
                    static_cast<int8_t*>(packed) + panel * panelBytes(k));
    }
  });
}

void unpackInt8(int64_t n, int64_t k, const void* packed, int8_t* out) {
  parallelFor(panelsOf(n), panelGrain(k), [&](int64_t begin, int64_t end) {
    for (int64_t j = begin * kPanelColumns; j < std::min(n, end * kPanelColumns); ++j) {
      const int8_t* codes =
          static_cast<const int8_t*>(packed) + j / kPanelColumns * panelBytes(k) + kPanelHeaderBytes + j % kPanelColumns * kGroup;
      int8_t* row = out + j * k;
      for (int64_t l = 0; l < k; l += kGroup) std::memcpy(row + l, codes + l / kGroup * kGroupBytes, std::min<int64_t>(kGroup, k - l));
    }
  });
}

}  // namespace quanto::cpu
