// The AMX kernel: 2 x 2 tiles of 16 x 16 sums, signed by signed, so nothing is shifted. A group of 4 values along K of a packed panel is
// one row of a tile, and 64 values of a packed row of a are another. To be included once by a file that has chosen the instructions
// (amx_tiles.h).
#pragma once

#include "amx_tiles.h"
#include "int8_digits.h"
#include "int8_steps.h"
#include "kernels.h"
#include "pack_int8.h"

namespace quanto::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int64_t kTileRowBytes = 64;
constexpr int64_t kTileBytes = kTileRows * kTileRowBytes;

void beginTiles() {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.rows[tile] = kTileRows, config.rowBytes[tile] = kTileRowBytes;
  QUANTO_TILE_CONFIGURE(&config);
}

void endTiles() { QUANTO_TILE_RELEASE(); }

// Sums in tiles 0 to 3, a in 4 and 5, weights in 6 and 7.
template <bool bothRows, bool bothPanels>
inline void step(const char* a, int64_t aStride, const int8_t* first, const int8_t* second) {
  QUANTO_TILE_LOAD(4, a, aStride);
  QUANTO_TILE_LOAD(6, first, kTileRowBytes);
  QUANTO_TILE_DOT(0, 4, 6);
  if constexpr (bothPanels) {
    QUANTO_TILE_LOAD(7, second, kTileRowBytes);
    QUANTO_TILE_DOT(1, 4, 7);
  }
  if constexpr (bothRows) {
    QUANTO_TILE_LOAD(5, a + kTileRows * aStride, aStride);
    QUANTO_TILE_DOT(2, 5, 6);
    if constexpr (bothPanels) QUANTO_TILE_DOT(3, 5, 7);
  }
}

// One step's weights, into the second-level cache.
template <bool bothPanels>
inline void fetch(const int8_t* panels, int64_t panelStride) {
  for (int64_t at = 0; at < kTileBytes; at += kTileRowBytes) {
    __builtin_prefetch(panels + at, 0, 2);
    if constexpr (bothPanels) __builtin_prefetch(panels + panelStride + at, 0, 2);
  }
}

template <bool bothRows, bool bothPanels>
void tileOf(const Int8Tile& tile) {
  const int64_t stride = tile.cStride * static_cast<int64_t>(sizeof(int32_t));
  int32_t* lower = tile.c + kTileRows * tile.cStride;
  if (tile.accumulate) {
    QUANTO_TILE_LOAD(0, tile.c, stride);
    if constexpr (bothPanels) QUANTO_TILE_LOAD(1, tile.c + kPanelColumns, stride);
    if constexpr (bothRows) QUANTO_TILE_LOAD(2, lower, stride);
    if constexpr (bothRows && bothPanels) QUANTO_TILE_LOAD(3, lower + kPanelColumns, stride);
  } else {
    QUANTO_TILE_ZERO(0);
    QUANTO_TILE_ZERO(1);
    QUANTO_TILE_ZERO(2);
    QUANTO_TILE_ZERO(3);
  }
  const char* a = tile.a;
  const int8_t* first = tile.panels + kPanelHeaderBytes;
  const int8_t* second = first + (bothPanels ? tile.panelStride : 0);
  const int64_t whole = tile.groups / kTileRows, rest = tile.groups % kTileRows * kGroupBytes;
  const int8_t* ahead = tile.ahead ? tile.ahead + kPanelHeaderBytes : nullptr;
  for (int64_t i = 0; i < whole; ++i) {
    if (ahead) fetch<bothPanels>(ahead + i * kTileBytes, tile.panelStride);
    step<bothRows, bothPanels>(a, tile.aStride, first, second);
    a += kTileRowBytes;
    first += kTileBytes;
    second += kTileBytes;
  }
  if (rest > 0) {
    // A panel ends with its last group: what a whole tile would read beyond is zero here.
    alignas(64) int8_t ends[2][kTileBytes] = {};
    __builtin_memcpy(ends[0], first, rest);
    if constexpr (bothPanels) __builtin_memcpy(ends[1], second, rest);
    step<bothRows, bothPanels>(a, tile.aStride, ends[0], ends[1]);
  }
  QUANTO_TILE_STORE(0, tile.c, stride);
  if constexpr (bothPanels) QUANTO_TILE_STORE(1, tile.c + kPanelColumns, stride);
  if constexpr (bothRows) QUANTO_TILE_STORE(2, lower, stride);
  if constexpr (bothRows && bothPanels) QUANTO_TILE_STORE(3, lower + kPanelColumns, stride);
}

void runTile(int rows, int panels, const Int8Tile& tile) {
  constexpr void (*kTiles[2][2])(const Int8Tile&) = {{tileOf<false, false>, tileOf<false, true>},
                                                     {tileOf<true, false>, tileOf<true, true>}};
  kTiles[rows > kTileRows][panels > 1](tile);
}

// `scale` finishes tiles with what the including file is compiled for.
constexpr Int8Kernel makeAmxKernel(const char* name, void (*scale)(const ScaledTile&)) {
  return {
      .name = name,
      .rows = 2 * kTileRows,
      .panels = 2,
      .rowsRead = kTileRows,
      .elementBytes = 1,
      .groupBlock = 128,
      .packRow = packRow<int8_t, 0>,
      .begin = beginTiles,
      .tile = runTile,
      .end = endTiles,
      .scale = scale,
      .digits = &kDigitLoops<0>,
      .digitRows = INT64_MAX,
      .digitSize = 0,
  };
}

}  // namespace
}  // namespace quanto::cpu
