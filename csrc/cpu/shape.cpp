#include <cstring>

#include "bypass.h"
#include "elements.h"
#include "kernels.h"
#include "loops.h"
#include "transpose.h"

namespace quanto::cpu {
namespace {

// Shorter sides are not worth tiles.
constexpr int64_t kShortestSide = 8;

template <class T>
void copyRuns(const Loop<2>& loop, const View& src, const View& out) {
  const int64_t outStride = loop.innerStride(0), srcStride = loop.innerStride(1);
  const bool past = writesPast(out, src);
  const auto copyRun = [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    T* target = static_cast<T*>(out.data) + offsets[0];
    const T* source = static_cast<const T*>(src.data) + offsets[1];
    if (outStride == 1 && srcStride == 1) {
      if (past) copyPastCaches(target, source, n * sizeof(T));
      else std::memmove(target, source, n * sizeof(T));
    } else if (outStride == 1 && srcStride == 0) {
      std::fill_n(target, n, *source);
    } else {
      for (int64_t i = 0; i < n; ++i) target[i * outStride] = source[i * srcStride];
    }
  };
  forEachRunParallel(loop, kCheapGrain, loop.count, copyRun, past);
}

// The dim that src walks with stride 1, where it is not the innermost: the copy transposes. -1 if there is none worth tiles.
int transposedDim(const Loop<2>& loop) {
  const int inner = loop.ndim - 1;
  if (loop.strides[1][inner] == 1 || loop.shape[inner] < kShortestSide) return -1;
  for (int dim = 0; dim < inner; ++dim) {
    if (loop.strides[1][dim] == 1 && loop.shape[dim] >= kShortestSide) return dim;
  }
  return -1;
}

template <class T>
void copyTiles(const Loop<2>& loop, int across, const View& src, const View& out) {
  constexpr int64_t kTile = kTileSide<T>;
  const int inner = loop.ndim - 1;
  const int64_t rows = loop.shape[across], columns = loop.shape[inner];
  const int64_t outRow = loop.strides[0][across], outColumn = loop.strides[0][inner], srcColumn = loop.strides[1][inner];
  const int64_t rowTiles = (rows + kTile - 1) / kTile, columnTiles = (columns + kTile - 1) / kTile;
  Loop<2> tiles{};
  tiles.count = 1;
  for (int dim = 0; dim < inner; ++dim) {
    if (dim != across) appendDim(tiles, loop.shape[dim], {loop.strides[0][dim], loop.strides[1][dim]});
  }
  // Past the caches only whole lines are fast, and the source is read in long runs; else the target is written in them.
  const auto isWhole = [](uint64_t bytes) { return bytes % 64 == 0; };
  const bool past = isWhole(outRow * sizeof(T)) && writesPast(out, src);
  if (past) appendDim(tiles, columnTiles, {outColumn * kTile, srcColumn * kTile});
  appendDim(tiles, rowTiles, {outRow * kTile, kTile});
  if (!past) appendDim(tiles, columnTiles, {outColumn * kTile, srcColumn * kTile});
  finishLoop(tiles);
  const auto copyTile = [&](int64_t index, const int64_t(&offsets)[2], int64_t) {
    T* target = static_cast<T*>(out.data) + offsets[0];
    const T* source = static_cast<const T*>(src.data) + offsets[1];
    const int64_t rowTile = past ? index % rowTiles : index / columnTiles % rowTiles;
    const int64_t columnTile = past ? index / rowTiles % columnTiles : index % columnTiles;
    const int64_t m = std::min(kTile, rows - rowTile * kTile), n = std::min(kTile, columns - columnTile * kTile);
    if (m == kTile && n == kTile && outColumn == 1) {
      const auto turn = past && isWhole(reinterpret_cast<uintptr_t>(target)) ? transposeTile<true, T> : transposeTile<false, T>;
      turn(source, srcColumn, target, outRow);
      return;
    }
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) target[i * outRow + j * outColumn] = source[i + j * srcColumn];
    }
  };
  forEachRunParallel(tiles, std::max<int64_t>(1, kCheapGrain / (kTile * kTile)), 1, copyTile, past);
}

template <class T>
void convertRuns(const Loop<2>& loop, const View& src, const View& out) {
  const Writer<T> writer(out, loop.innerStride(0));
  const Reader<T> reader(src, loop.innerStride(1));
  forEachRunParallel(loop, kCheapGrain, kBlock, [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    T buffer[kBlock];
    T* target = writer.target(offsets[0], buffer);
    const T* values = reader.read(offsets[1], n, target);
    if (writer.direct() && values != target) std::memcpy(target, values, n * sizeof(T));
    writer.write(offsets[0], n, values);
  });
}

}  // namespace

Status copy(Queue*, const View* src, const View* out) {
  const auto loop = makeLoop({out, src});
  const DType from = dtypeOf(*src), to = dtypeOf(*out);
  if (from == to) {
    const int across = transposedDim(loop);
    withElementBytes(to, [&](auto bytes) {
      using T = BitsOf<bytes>;
      if (across < 0) copyRuns<T>(loop, *src, *out);
      else copyTiles<T>(loop, across, *src, *out);
    });
  } else if (isReal(from) || isReal(to)) {
    convertRuns<float>(loop, *src, *out);
  } else {
    convertRuns<int64_t>(loop, *src, *out);
  }
  return Status::ok;
}

}  // namespace quanto::cpu
