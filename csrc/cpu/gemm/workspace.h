// Helpers of the GEMM drivers: cutting a buffer into parts and a range into nearly equal pieces.
#pragma once

#include <cstdint>

namespace quanto::cpu {

// Adds up the parts of one allocation; `add` returns the part's offset, a multiple of 64.
struct BufferPlan {
  int64_t bytes = 0;

  int64_t add(int64_t partBytes) {
    const int64_t offset = bytes;
    bytes += (partBytes + 63) / 64 * 64;
    return offset;
  }
};

// [0, count) in the fewest pieces of at most `largest`, their sizes differing by 1 at most: 16 rows in tiles of 14 are 8 + 8, not 14 + 2.
struct Pieces {
  int64_t count, pieces;

  Pieces(int64_t total, int64_t largest) : count(total), pieces((total + largest - 1) / largest) {}
  int64_t begin(int64_t piece) const { return piece * count / pieces; }
  int64_t size(int64_t piece) const { return begin(piece + 1) - begin(piece); }
  // The piece that an index lies in.
  int64_t of(int64_t index) const { return ((index + 1) * pieces - 1) / count; }
  int64_t largest() const { return (count + pieces - 1) / pieces; }
};

// The stride of rows of so many bytes, a multiple of 64: an odd number of cache lines, so that rows do not share cache sets.
constexpr int64_t oddLines(int64_t bytes) { return (bytes / 64 | 1) * 64; }

constexpr int64_t roundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace quanto::cpu
