// Matrix products of our own: for every layout, and where cuBLASLt is missing or refuses.
#pragma once

#include "queue.h"

namespace quanto::cuda {

inline constexpr int kTileThreads = 16, kTileDepth = 16;

// store(batch, i, j, sum over l of left(batch, i, l) * right(batch, l, j)). A block makes a square of 16 * micro on a side, a thread
// micro x micro of it; operands pass through shared memory once for each block.
template <int micro, class Left, class Right, class Store>
void multiplyTiles(Issue& issue, int64_t batch, int64_t m, int64_t n, int64_t k, const Left& left, const Right& right, const Store& store) {
  constexpr int kTile = kTileThreads * micro;
  const int64_t across = (n + kTile - 1) / kTile, down = (m + kTile - 1) / kTile;
  issue.launch(dim3(static_cast<unsigned>(batch * across * down)), dim3(kTileThreads * kTileThreads), [=] QUANTO_DEVICE() {
    __shared__ float leftTile[kTileDepth][kTile + 1];
    __shared__ float rightTile[kTileDepth][kTile + 1];
    const int thread = static_cast<int>(threadIdx.x), x = thread % kTileThreads, y = thread / kTileThreads;
    const int64_t unit = blockIdx.x, item = unit / (across * down);
    const int64_t row = unit / across % down * kTile, column = unit % across * kTile;
    float sums[micro][micro] = {};
    for (int64_t depth = 0; depth < k; depth += kTileDepth) {
      for (int i = thread; i < kTileDepth * kTile; i += kTileThreads * kTileThreads) {
        // Neighbouring threads read along the depth on the left and along columns on the right, where memory mostly runs.
        const int leftDepth = i % kTileDepth, leftRow = i / kTileDepth, rightDepth = i / kTile, rightColumn = i % kTile;
        leftTile[leftDepth][leftRow] = row + leftRow < m && depth + leftDepth < k ? left(item, row + leftRow, depth + leftDepth) : 0.0f;
        rightTile[rightDepth][rightColumn] =
            column + rightColumn < n && depth + rightDepth < k ? right(item, depth + rightDepth, column + rightColumn) : 0.0f;
      }
      __syncthreads();
      for (int l = 0; l < kTileDepth; ++l) {
        float a[micro], b[micro];
        for (int i = 0; i < micro; ++i) {
          a[i] = leftTile[l][y + i * kTileThreads];
          b[i] = rightTile[l][x + i * kTileThreads];
        }
        for (int i = 0; i < micro; ++i) {
          for (int j = 0; j < micro; ++j) sums[i][j] = multiplyAdd(a[i], b[j], sums[i][j]);
        }
      }
      __syncthreads();
    }
    for (int i = 0; i < micro; ++i) {
      for (int j = 0; j < micro; ++j) {
        const int64_t outRow = row + y + i * kTileThreads, outColumn = column + x + j * kTileThreads;
        if (outRow < m && outColumn < n) store(item, outRow, outColumn, sums[i][j]);
      }
    }
  });
}

template <class Left, class Right, class Store>
void multiply(Issue& issue, int64_t batch, int64_t m, int64_t n, int64_t k, const Left& left, const Right& right, const Store& store) {
  if (batch * m * n == 0) return;
  // Large tiles where they fill the machine, small ones where those would be mostly air.
  if (m >= 64 && n >= 64) multiplyTiles<4>(issue, batch, m, n, k, left, right, store);
  else multiplyTiles<1>(issue, batch, m, n, k, left, right, store);
}

// The same for int8 codes with int32 sums that wrap, as the vector instructions do: left(batch, i, l) and right(batch, l, j) give four
// codes from depth l on, zeros beyond the end.
template <class Left, class Right, class Store>
void multiplyCodes(Issue& issue, int64_t batch, int64_t m, int64_t n, int64_t k, const Left& left, const Right& right, const Store& store) {
  if (batch * m * n == 0) return;
  constexpr int kMicro = 2, kTile = kTileThreads * kMicro, kFours = kTileDepth;
  const int64_t across = (n + kTile - 1) / kTile, down = (m + kTile - 1) / kTile;
  issue.launch(dim3(static_cast<unsigned>(batch * across * down)), dim3(kTileThreads * kTileThreads), [=] QUANTO_DEVICE() {
    __shared__ int leftTile[kFours][kTile + 1];
    __shared__ int rightTile[kFours][kTile + 1];
    const int thread = static_cast<int>(threadIdx.x), x = thread % kTileThreads, y = thread / kTileThreads;
    const int64_t unit = blockIdx.x, item = unit / (across * down);
    const int64_t row = unit / across % down * kTile, column = unit % across * kTile;
    int sums[kMicro][kMicro] = {};
    for (int64_t depth = 0; depth < k; depth += 4 * kFours) {
      for (int i = thread; i < kFours * kTile; i += kTileThreads * kTileThreads) {
        const int four = i % kFours, place = i / kFours;
        const int64_t l = depth + 4 * four;
        leftTile[four][place] = row + place < m && l < k ? left(item, row + place, l) : 0;
        rightTile[four][place] = column + place < n && l < k ? right(item, l, column + place) : 0;
      }
      __syncthreads();
      for (int l = 0; l < kFours; ++l) {
        for (int i = 0; i < kMicro; ++i) {
          for (int j = 0; j < kMicro; ++j)
            sums[i][j] = __dp4a(leftTile[l][y + i * kTileThreads], rightTile[l][x + j * kTileThreads], sums[i][j]);
        }
      }
      __syncthreads();
    }
    for (int i = 0; i < kMicro; ++i) {
      for (int j = 0; j < kMicro; ++j) {
        const int64_t outRow = row + y + i * kTileThreads, outColumn = column + x + j * kTileThreads;
        if (outRow < m && outColumn < n) store(item, outRow, outColumn, sums[i][j]);
      }
    }
  });
}

// Four codes `stride` apart of which `left` are there.
QUANTO_DEVICE inline int fourCodes(const int8_t* codes, int64_t stride, int64_t left) {
  unsigned four = 0;
  for (int i = 0; i < 4 && i < left; ++i) four |= static_cast<unsigned>(static_cast<uint8_t>(codes[i * stride])) << (8 * i);
  return static_cast<int>(four);
}

// For a few rows, which read the weight once: a warp for each row of the weight, 16 codes a load. out(i, j, sum) is called by one lane.
inline constexpr int kFewRows = 8;
template <class Store>
void multiplyFewRows(Issue& issue, int64_t m, int64_t n, int64_t k, const int8_t* src, int64_t srcStride, const int8_t* weight,
                     int64_t weightStride, const Store& store) {
  constexpr int kWarps = 4;
  issue.launch(dim3(static_cast<unsigned>((n + kWarps - 1) / kWarps)), dim3(kWarp, kWarps), [=] QUANTO_DEVICE() {
    const int lane = static_cast<int>(threadIdx.x);
    const int64_t j = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
    int sums[kFewRows] = {};
    if (j < n) {
      const auto* row = reinterpret_cast<const int4*>(weight + j * weightStride);
      for (int64_t l = lane; l < k / 16; l += kWarp) {
        const int4 w = row[l];
        for (int i = 0; i < kFewRows && i < m; ++i) {
          const int4 x = reinterpret_cast<const int4*>(src + i * srcStride)[l];
          sums[i] = __dp4a(x.x, w.x, __dp4a(x.y, w.y, __dp4a(x.z, w.z, __dp4a(x.w, w.w, sums[i]))));
        }
      }
    }
    for (int i = 0; i < kFewRows && i < m; ++i) {
      int sum = sums[i];
      for (int distance = 1; distance < kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
      if (lane == 0 && j < n) store(i, j, sum);
    }
  });
}

}  // namespace quanto::cuda
