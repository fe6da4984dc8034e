// CUDA C++ for a machine without a GPU: the built-in names that kernels use, and the launch of a grid. A block's threads are fibers of one
// OS thread; they change at barriers and shuffles only.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "runtime.h"

// One block runs at a time, so one copy of its shared memory is enough.
#define __shared__ static

namespace quanto::emulator {

struct Place {
  dim3 thread, block, blockSize, gridSize;
};
const Place& place();

void syncThreads();
// Passes 8 bytes to lane `target` of every lane's warp: returns what lane `source` gave. All lanes that have not ended take part.
uint64_t exchange(uint64_t value, int source);
// The same, but every lane gets what all lanes gave.
void exchangeAll(uint64_t value, uint64_t (&all)[32]);
int laneOfThread();

template <class T>
T exchangeAs(T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(bits, source);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

void runGrid(dim3 grid, dim3 block, const std::function<void()>& body);
// Gives the work to the stream, which runs it when somebody waits: code that forgets to wait is found out.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
cudaError_t checkLaunch(dim3 grid, dim3 block, size_t parameterBytes);

}  // namespace quanto::emulator

#define threadIdx (::quanto::emulator::place().thread)
#define blockIdx (::quanto::emulator::place().block)
#define blockDim (::quanto::emulator::place().blockSize)
#define gridDim (::quanto::emulator::place().gridSize)

inline void __syncthreads() { quanto::emulator::syncThreads(); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return quanto::emulator::exchangeAs(value, quanto::emulator::laneOfThread() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return quanto::emulator::exchangeAs(value, lane);
}

// Four products of signed bytes, added to c.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i));
  return c;
}

// Only one thread runs at a time, but the sanitizer must see an atomic access.
inline int atomicOr(int* target, int value) { return __atomic_fetch_or(target, value, __ATOMIC_RELAXED); }

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};

namespace quanto::cuda {

template <class Body>
cudaError_t launch(dim3 grid, dim3 block, cudaStream_t stream, const Body& body) {
  const cudaError_t error = emulator::checkLaunch(grid, block, sizeof(Body));
  if (error != cudaSuccess) return error;
  return emulator::enqueue(stream, [=] { emulator::runGrid(grid, block, body); });
}

template <int kThreads, int kBlocks, class Body>
cudaError_t launchBounded(dim3 grid, cudaStream_t stream, const Body& body) {
  return launch(grid, dim3(kThreads), stream, body);
}

}  // namespace quanto::cuda
