// The AMX tile instructions that kernels use, by the names and argument rules of Intel's intrinsics: tile numbers are literals.
// With QUANTO_EMULATE_AMX they are plain C++, so that a test runs the kernel's own source on any machine.
// Source of the semantics: Intel SDM volume 2, LDTILECFG, TILELOADD, TILESTORED, TDPBSSD, TDPBF16PS.
#pragma once

#include <stdint.h>

namespace quanto::cpu {
namespace {

// The memory operand of LDTILECFG, palette 1: the rows of each of 8 tiles, and the bytes of a row.
struct alignas(64) TileConfig {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace
}  // namespace quanto::cpu

#ifdef QUANTO_EMULATE_AMX

namespace quanto::cpu {
namespace {

struct EmulatedTiles {
  TileConfig config;
  int8_t bytes[8][16][64];
};
thread_local EmulatedTiles tiles;

void emulateConfigure(const void* config) {
  __builtin_memcpy(&tiles.config, config, sizeof(TileConfig));
  __builtin_memset(tiles.bytes, 0, sizeof tiles.bytes);
}

void emulateRelease() { tiles = {}; }

void emulateZero(int tile) { __builtin_memset(tiles.bytes[tile], 0, sizeof tiles.bytes[tile]); }

void emulateLoad(int tile, const void* base, int64_t stride) {
  emulateZero(tile);
  for (int i = 0; i < tiles.config.rows[tile]; ++i)
    __builtin_memcpy(tiles.bytes[tile][i], static_cast<const char*>(base) + i * stride, tiles.config.rowBytes[tile]);
}

void emulateStore(int tile, void* base, int64_t stride) {
  for (int i = 0; i < tiles.config.rows[tile]; ++i)
    __builtin_memcpy(static_cast<char*>(base) + i * stride, tiles.bytes[tile][i], tiles.config.rowBytes[tile]);
}

void emulateDot(int out, int a, int b) {
  for (int i = 0; i < tiles.config.rows[out]; ++i) {
    uint32_t sums[16];
    __builtin_memcpy(sums, tiles.bytes[out][i], sizeof sums);
    for (int group = 0; group < tiles.config.rowBytes[a] / 4; ++group) {
      for (int j = 0; j < tiles.config.rowBytes[out] / 4; ++j) {
        for (int l = 0; l < 4; ++l) sums[j] += static_cast<uint32_t>(tiles.bytes[a][i][4 * group + l] * tiles.bytes[b][group][4 * j + l]);
      }
    }
    __builtin_memcpy(tiles.bytes[out][i], sums, sizeof sums);
  }
}

// Pairs of bfloat16 are multiplied exactly and added to the float32 sum, rounded to nearest even, denormals taken as zero.
void emulateDotBfloat16(int out, int a, int b) {
  const auto real = [](const int8_t* at) {
    const uint32_t bits = static_cast<uint32_t>(static_cast<uint8_t>(at[0])) << 16 | static_cast<uint32_t>(static_cast<uint8_t>(at[1]))
                                                                                         << 24;
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return (bits & 0x7f800000u) ? value : 0.0f;
  };
  for (int i = 0; i < tiles.config.rows[out]; ++i) {
    float sums[16];
    __builtin_memcpy(sums, tiles.bytes[out][i], sizeof sums);
    for (int pair = 0; pair < tiles.config.rowBytes[a] / 4; ++pair) {
      for (int j = 0; j < tiles.config.rowBytes[out] / 4; ++j) {
        for (int l = 0; l < 2; ++l) sums[j] += real(tiles.bytes[a][i] + 4 * pair + 2 * l) * real(tiles.bytes[b][pair] + 4 * j + 2 * l);
      }
    }
    __builtin_memcpy(tiles.bytes[out][i], sums, sizeof sums);
  }
}

}  // namespace
}  // namespace quanto::cpu

#define QUANTO_TILE_CONFIGURE(config) emulateConfigure(config)
#define QUANTO_TILE_RELEASE() emulateRelease()
#define QUANTO_TILE_ZERO(tile) emulateZero(tile)
#define QUANTO_TILE_LOAD(tile, base, stride) emulateLoad(tile, base, stride)
#define QUANTO_TILE_STORE(tile, base, stride) emulateStore(tile, base, stride)
#define QUANTO_TILE_DOT(out, a, b) emulateDot(out, a, b)
#define QUANTO_TILE_DOT_BFLOAT16(out, a, b) emulateDotBfloat16(out, a, b)

#else

#include <immintrin.h>

// Not the intrinsics of these two: GCC 12's name 8 of the configuration's 64 bytes as what they read, and nothing of a tile's, so the
// compiler drops stores that nothing else reads, and the first tile instruction faults.
#define QUANTO_TILE_CONFIGURE(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(config)))
#define QUANTO_TILE_LOAD(tile, base, stride) \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(base), "r"(static_cast<int64_t>(stride)) : "memory")
#define QUANTO_TILE_RELEASE() _tile_release()
#define QUANTO_TILE_ZERO(tile) _tile_zero(tile)
#define QUANTO_TILE_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define QUANTO_TILE_DOT(out, a, b) _tile_dpbssd(out, a, b)
#define QUANTO_TILE_DOT_BFLOAT16(out, a, b) _tile_dpbf16ps(out, a, b)

#endif
