// A device's stream, and how a kernel slot gives work to it.
#pragma once

#include <mutex>

#include "device.h"

namespace quanto::cuda {

// Memory of the device that kernels use between two launches of one slot. The stream's order lets the next slot reuse it.
enum class Scratch { partials, patches, sums, codes, weights, scales, values, workspace, count };

// One for each device. Every environment issues into the same stream, because the core's allocator hands a block from one environment to
// another as soon as its last user was issued.
struct DeviceQueue {
  int ordinal = 0;
  int users = 0;
  int computeMajor = 0;  // generation of the device
  std::recursive_mutex mutex;
  cudaStream_t stream = nullptr;
  // Pinned memory that copies pass through, in two halves: one is filled while the other is copied.
  char* staging = nullptr;
  cudaEvent_t staged[2] = {};
  int half = 0;
  // Set by kernels that find an index out of range; on the device, and its copy on the host.
  int* flag = nullptr;
  void* scratch[static_cast<int>(Scratch::count)] = {};
  size_t scratchBytes[static_cast<int>(Scratch::count)] = {};
};

inline DeviceQueue& deviceQueue(Queue* queue) { return *reinterpret_cast<DeviceQueue*>(queue); }

inline constexpr size_t kStagingHalf = size_t{1} << 20;

Status statusOf(cudaError_t error);

// The launches of one slot, and of slots that it calls: nobody else's come between them. The first error ends what follows.
class Issue {
 public:
  explicit Issue(Queue* queue);
  cudaStream_t stream() const { return queue_.stream; }
  int computeMajor() const { return queue_.computeMajor; }
  bool failed() const { return error_ != cudaSuccess; }
  void note(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }

  template <class Body>
  void launch(dim3 grid, dim3 block, const Body& body) {
    if (!failed()) note(cuda::launch(grid, block, queue_.stream, body));
  }

  template <int kThreads, int kBlocks, class Body>
  void launchBounded(dim3 grid, const Body& body) {
    if (!failed()) note(cuda::launchBounded<kThreads, kBlocks>(grid, queue_.stream, body));
  }

  // body(i) for i in [0, count), in any order.
  template <class Body>
  void forEach(int64_t count, const Body& body) {
    if (count <= 0) return;
    const int64_t block = count < kBlock ? (count + kWarp - 1) / kWarp * kWarp : kBlock;
    const int64_t needed = (count + block - 1) / block, grid = needed < kGrid ? needed : kGrid;
    launch(dim3(static_cast<unsigned>(grid)), dim3(static_cast<unsigned>(block)), [=] QUANTO_DEVICE() {
      const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
      for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) body(i);
    });
  }

  // Null, and an error noted, when the device is out of memory.
  void* scratch(Scratch use, size_t bytes);
  template <class T>
  T* scratch(Scratch use, int64_t count) {
    return static_cast<T*>(scratch(use, static_cast<size_t>(count) * sizeof(T)));
  }

  // A cleared flag that the slot's kernels may set.
  int* indexFlag();
  Status finish() const { return statusOf(error_); }
  // The same where kernels check indices: waits for them.
  Status finishIndices();

 private:
  static constexpr int64_t kBlock = 256, kGrid = 1 << 16;
  DeviceQueue& queue_;
  std::lock_guard<std::recursive_mutex> lock_;
  cudaError_t error_;
};

// Calls body(row) with the whole block for each row.
template <class Body>
void forEachRowBlock(Issue& issue, int64_t rows, int64_t length, const Body& body) {
  if (rows <= 0) return;
  const int64_t block = length <= kWarp ? kWarp : length < 256 ? (length + kWarp - 1) / kWarp * kWarp : 256;
  const int64_t grid = rows < 65536 ? rows : 65536;
  issue.launch(dim3(static_cast<unsigned>(grid)), dim3(static_cast<unsigned>(block)), [=] QUANTO_DEVICE() {
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) body(row);
  });
}

}  // namespace quanto::cuda
