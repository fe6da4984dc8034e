#include <algorithm>
#include <cstring>

#include "backend.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

constexpr int kMaxDevices = 64;

DeviceQueue& queueOf(int32_t device) {
  static DeviceQueue* const queues = new DeviceQueue[kMaxDevices];
  return queues[device];
}

cudaError_t open(DeviceQueue& queue) {
  void* memory = nullptr;
  cudaDeviceProp properties{};
  cudaError_t error = cudaGetDeviceProperties(&properties, queue.ordinal);
  queue.computeMajor = properties.major;
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&queue.stream, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaMallocHost(&memory, 2 * kStagingHalf);
  queue.staging = static_cast<char*>(memory);
  for (cudaEvent_t& event : queue.staged) {
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  }
  memory = nullptr;
  if (error == cudaSuccess) error = cudaMalloc(&memory, sizeof(int));
  queue.flag = static_cast<int*>(memory);
  return error;
}

void close(DeviceQueue& queue) {
  closeBlasLt(queue);
  if (queue.stream) cudaStreamSynchronize(queue.stream);
  for (int i = 0; i < static_cast<int>(Scratch::count); ++i) {
    cudaFree(queue.scratch[i]);
    queue.scratch[i] = nullptr;
    queue.scratchBytes[i] = 0;
  }
  cudaFree(queue.flag);
  queue.flag = nullptr;
  if (queue.staging) cudaFreeHost(queue.staging);
  queue.staging = nullptr;
  for (cudaEvent_t& event : queue.staged) {
    if (event) cudaEventDestroy(event);
    event = nullptr;
  }
  if (queue.stream) cudaStreamDestroy(queue.stream);
  queue.stream = nullptr;
}

}  // namespace

Status statusOf(cudaError_t error) {
  if (error == cudaSuccess) return Status::ok;
  return error == cudaErrorMemoryAllocation ? Status::outOfMemory : Status::deviceFailure;
}

Issue::Issue(Queue* queue) : queue_(deviceQueue(queue)), lock_(queue_.mutex), error_(cudaSetDevice(queue_.ordinal)) {}

void* Issue::scratch(Scratch use, size_t bytes) {
  if (failed()) return nullptr;
  const int index = static_cast<int>(use);
  if (queue_.scratchBytes[index] >= bytes && queue_.scratch[index]) return queue_.scratch[index];
  // The runtime frees memory only once the kernels that use it have run.
  note(cudaFree(queue_.scratch[index]));
  queue_.scratch[index] = nullptr;
  queue_.scratchBytes[index] = 0;
  const size_t size = std::max<size_t>(bytes + bytes / 4, 4096);
  const cudaError_t error = cudaMalloc(&queue_.scratch[index], size);
  note(error);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  queue_.scratchBytes[index] = size;
  return queue_.scratch[index];
}

int* Issue::indexFlag() {
  if (!failed()) note(cudaMemsetAsync(queue_.flag, 0, sizeof(int), queue_.stream));
  return queue_.flag;
}

Status Issue::finishIndices() {
  int found = 0;
  if (!failed()) note(cudaEventSynchronize(queue_.staged[queue_.half]));
  if (!failed())
    note(cudaMemcpyAsync(queue_.staging + queue_.half * kStagingHalf, queue_.flag, sizeof found, cudaMemcpyDeviceToHost, stream()));
  if (!failed()) note(cudaStreamSynchronize(stream()));
  if (failed()) return finish();
  std::memcpy(&found, queue_.staging + queue_.half * kStagingHalf, sizeof found);
  return found ? Status::indexOutOfRange : Status::ok;
}

Queue* openQueue(int32_t device) {
  DeviceQueue& queue = queueOf(device);
  std::lock_guard<std::recursive_mutex> lock(queue.mutex);
  queue.ordinal = ordinalOf(device);
  if (cudaSetDevice(queue.ordinal) != cudaSuccess) return nullptr;
  if (queue.users == 0 && open(queue) != cudaSuccess) {
    close(queue);
    return nullptr;
  }
  ++queue.users;
  return reinterpret_cast<Queue*>(&queue);
}

void closeQueue(Queue* handle) {
  if (!handle) return;
  DeviceQueue& queue = deviceQueue(handle);
  std::lock_guard<std::recursive_mutex> lock(queue.mutex);
  cudaSetDevice(queue.ordinal);
  if (--queue.users == 0) close(queue);
}

Status synchronize(Queue* handle) {
  DeviceQueue& queue = deviceQueue(handle);
  cudaSetDevice(queue.ordinal);
  return statusOf(cudaStreamSynchronize(queue.stream));
}

// The host's memory may be gone when this returns, so the bytes go through pinned memory; each half is refilled once it was copied.
Status copyFromHost(Queue* handle, void* device, const void* host, size_t bytes) {
  DeviceQueue& queue = deviceQueue(handle);
  std::lock_guard<std::recursive_mutex> lock(queue.mutex);
  cudaError_t error = cudaSetDevice(queue.ordinal);
  for (size_t done = 0; done < bytes && error == cudaSuccess; done += kStagingHalf) {
    const size_t size = std::min(kStagingHalf, bytes - done);
    char* staging = queue.staging + queue.half * kStagingHalf;
    error = cudaEventSynchronize(queue.staged[queue.half]);
    if (error != cudaSuccess) break;
    std::memcpy(staging, static_cast<const char*>(host) + done, size);
    error = cudaMemcpyAsync(static_cast<char*>(device) + done, staging, size, cudaMemcpyHostToDevice, queue.stream);
    if (error == cudaSuccess) error = cudaEventRecord(queue.staged[queue.half], queue.stream);
    queue.half ^= 1;
  }
  return statusOf(error);
}

// Two pieces are under way at a time; the executor thread waits for them, never the JS thread of an awaited read.
Status copyToHost(Queue* handle, void* host, const void* device, size_t bytes) {
  DeviceQueue& queue = deviceQueue(handle);
  std::lock_guard<std::recursive_mutex> lock(queue.mutex);
  cudaError_t error = cudaSetDevice(queue.ordinal);
  const size_t pieces = (bytes + kStagingHalf - 1) / kStagingHalf;
  for (size_t piece = 0; piece <= pieces && error == cudaSuccess; ++piece) {
    const auto sizeOf = [&](size_t index) { return std::min(kStagingHalf, bytes - index * kStagingHalf); };
    const int current = (queue.half + static_cast<int>(piece % 2)) % 2;
    if (piece < pieces) {
      error = cudaEventSynchronize(queue.staged[current]);
      if (error == cudaSuccess)
        error = cudaMemcpyAsync(queue.staging + current * kStagingHalf, static_cast<const char*>(device) + piece * kStagingHalf,
                                sizeOf(piece), cudaMemcpyDeviceToHost, queue.stream);
      if (error == cudaSuccess) error = cudaEventRecord(queue.staged[current], queue.stream);
    }
    if (piece > 0 && error == cudaSuccess) {
      error = cudaEventSynchronize(queue.staged[current ^ 1]);
      if (error == cudaSuccess)
        std::memcpy(static_cast<char*>(host) + (piece - 1) * kStagingHalf, queue.staging + (current ^ 1) * kStagingHalf, sizeOf(piece - 1));
    }
  }
  return statusOf(error);
}

void* allocate(int32_t device, size_t bytes) {
  void* data = nullptr;
  if (cudaSetDevice(ordinalOf(device)) != cudaSuccess || cudaMalloc(&data, bytes) != cudaSuccess) {
    cudaGetLastError();  // or the next launch would report it
    return nullptr;
  }
  return data;
}

void release(int32_t device, void* data, size_t) {
  if (cudaSetDevice(ordinalOf(device)) == cudaSuccess) cudaFree(data);
}

}  // namespace quanto::cuda
