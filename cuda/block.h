// What the threads of one block do together. Each function is called by all of them, and ends with the shared memory free again.
#pragma once

#include "device.h"

namespace quanto::cuda {

inline constexpr int kMaxBlock = 256;

// join(a, b) over the threads' values, in the same order at every run; every thread gets it. `Use` tells apart calls of one kernel, so that
// each has shared memory of its own.
template <class Use, class T, class Join>
QUANTO_DEVICE T foldBlock(T value, Join join) {
  __shared__ T warps[kMaxBlock / kWarp];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int count = static_cast<int>(blockDim.x) / kWarp;  // blocks are whole warps
  for (int distance = 1; distance < kWarp; distance *= 2) value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  if (count == 1) return value;
  if (lane == 0) warps[warp] = value;
  __syncthreads();
  T total = warps[0];
  for (int i = 1; i < count; ++i) total = join(total, warps[i]);
  __syncthreads();
  return total;
}

struct SumUse {};
struct LargestUse {};

// Sums are kept in double: as exact as the CPU's, and at the pace of memory.
QUANTO_DEVICE inline double sumBlock(double value) {
  return foldBlock<SumUse>(value, [](double a, double b) { return a + b; });
}
// NaN wins.
QUANTO_DEVICE inline float largestBlock(float value) {
  return foldBlock<LargestUse>(value, [](float a, float b) { return a != a || a > b ? a : b; });
}

}  // namespace quanto::cuda
