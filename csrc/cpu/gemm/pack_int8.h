// The packed form of an int8 weight [N, K], one for all implementations, so that it stays valid whatever instruction set is used.
//
// ceil(N / 16) panels, each: 16 int32 column sums, then ceil(K / 4) groups of [16 columns][4 values along K], zero padded. A group is
// 64 bytes: one vector register of the dot-product instructions, one row of an AMX tile. The column sums (over K) undo the +128
// that unsigned x signed instructions need on the other operand.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

constexpr int kPanelColumns = 16;
constexpr int kGroup = 4;
constexpr int64_t kGroupBytes = kPanelColumns * kGroup;
constexpr int64_t kPanelHeaderBytes = kPanelColumns * sizeof(int32_t);

static constexpr int64_t groupsOf(int64_t k) { return (k + kGroup - 1) / kGroup; }
static constexpr int64_t panelsOf(int64_t n) { return (n + kPanelColumns - 1) / kPanelColumns; }
static constexpr int64_t panelBytes(int64_t k) { return kPanelHeaderBytes + groupsOf(k) * kGroupBytes; }

// Packs up to 16 columns: in[j * rowStride + l * columnStride] for j < columns, l < k.
void packInt8Panel(int64_t columns, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, int8_t* panel);

}  // namespace quanto::cpu
