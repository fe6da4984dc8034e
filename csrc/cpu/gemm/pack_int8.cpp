#include "pack_int8.h"

#include <algorithm>
#include <cstring>

#include "../pool.h"
#include "gemm.h"

namespace quanto::cpu {
namespace {

// Panels in one piece of parallel work: about 64 KiB of codes.
int64_t panelGrain(int64_t k) { return std::max<int64_t>(1, 65536 / panelBytes(k)); }

}  // namespace

void packInt8Panel(int64_t columns, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, int8_t* panel) {
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
