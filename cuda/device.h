// What kernels are written in. The same sources compile with nvcc, for a GPU, and with a C++ compiler, for the emulator.
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define QUANTO_DEVICE __device__
// Before a loop that indexes an array of registers: they have no addresses.
#define QUANTO_UNROLL _Pragma("unroll")
#define QUANTO_ROLLED _Pragma("unroll 1")
// A function of the device that is called, not copied, where it is used: for what is long and rare.
#define QUANTO_DEVICE_CALL inline __device__ __noinline__

namespace quanto::cuda {

template <class Body>
__global__ void run(Body body) {
  body();
}

// Runs `body()` in every thread of the grid.
template <class Body>
cudaError_t launch(dim3 grid, dim3 block, cudaStream_t stream, const Body& body) {
  run<<<grid, block, 0, stream>>>(body);
  return cudaGetLastError();
}

template <int kThreads, int kBlocks, class Body>
__global__ void __launch_bounds__(kThreads, kBlocks) runBounded(Body body) {
  body();
}

// The same with blocks of kThreads, of which kBlocks fit on a multiprocessor at once: the compiler keeps to the registers that this leaves.
template <int kThreads, int kBlocks, class Body>
cudaError_t launchBounded(dim3 grid, cudaStream_t stream, const Body& body) {
  runBounded<kThreads, kBlocks><<<grid, dim3(kThreads), 0, stream>>>(body);
  return cudaGetLastError();
}

}  // namespace quanto::cuda

#else

#define QUANTO_DEVICE
#define QUANTO_UNROLL
#define QUANTO_ROLLED
#define QUANTO_DEVICE_CALL inline

#include "emulator/emulator.h"

#endif

#include "../csrc/backend.h"
#include "../csrc/dtype.h"

namespace quanto::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// a * b + c with one rounding; everywhere else products and sums round apart.
QUANTO_DEVICE inline float multiplyAdd(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return static_cast<float>(static_cast<double>(a) * b + c);
#endif
}

}  // namespace quanto::cuda
