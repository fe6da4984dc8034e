// The reference: plain loops, in a form that the compiler turns into whatever vectors the target's baseline has.
#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kRows = 4;

void runTile(int rows, int panels, const Int8Tile& tile) {
  for (int panel = 0; panel < panels; ++panel) {
    const int8_t* codes = tile.panels + panel * tile.panelStride + kPanelHeaderBytes;
    for (int i = 0; i < rows; ++i) {
      // A sum past 2^31 wraps, as the vector instructions do.
      uint32_t sums[kPanelColumns] = {};
      for (int64_t group = 0; group < tile.groups; ++group) {
        const auto* a = reinterpret_cast<const int8_t*>(tile.a + i * tile.aStride) + group * kGroup;
        const int8_t* b = codes + group * kGroupBytes;
        for (int j = 0; j < kPanelColumns; ++j) {
          int32_t sum = 0;
          for (int l = 0; l < kGroup; ++l) sum += a[l] * b[j * kGroup + l];
          sums[j] += static_cast<uint32_t>(sum);
        }
      }
      int32_t* c = tile.c + i * tile.cStride + panel * kPanelColumns;
      for (int j = 0; j < kPanelColumns; ++j) c[j] = static_cast<int32_t>(sums[j]);
    }
  }
}

}  // namespace

const Int8Kernel kInt8Ref = {
    .name = "ref",
    .rows = kRows,
    .panels = 1,
    .rowsRead = 1,
    .elementBytes = 1,
    .groupBlock = 0,
    .packRow = packRow<int8_t, 0>,
    .begin = nullptr,
    .tile = runTile,
    .end = nullptr,
    .scale = scaleTile,
    .digits = nullptr,
    .digitRows = 0,
    .digitSize = 0,
};

}  // namespace quanto::cpu
