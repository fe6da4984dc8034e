#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "emulator.h"

struct CUevent_st {
  CUstream_st* stream = nullptr;
};
struct CUstream_st {
  int device;
  std::deque<std::function<void()>> work;
};

namespace quanto::emulator {

namespace {

constexpr int kDevices = 2;
constexpr size_t kRedZone = 256;
constexpr unsigned char kRedByte = 0xE5, kFreshByte = 0xCB;
// Beyond this the stream runs what it has, so that the emulator's memory stays bounded.
constexpr size_t kLongestStream = 256;

struct Allocation {
  size_t bytes;
  int device;
};

struct Machine {
  std::recursive_mutex mutex;
  std::map<const char*, Allocation> memory, pinned;
  std::set<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::string complaints;
  size_t liveBytes = 0;
  cudaError_t lastError = cudaSuccess;
};
Machine& machine() {
  static Machine& only = *new Machine;
  return only;
}
using Lock = std::lock_guard<std::recursive_mutex>;

thread_local int currentDevice = 0;

size_t settingOf(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? static_cast<size_t>(std::strtoull(text, nullptr, 10)) : otherwise;
}

size_t memoryCapacity() { return settingOf("QUANTO_CUDA_EMULATE_MEMORY", size_t{4} << 30); }

cudaError_t failed(cudaError_t error) { return machine().lastError = error; }

bool within(const std::map<const char*, Allocation>& memory, const void* data, size_t bytes) {
  const char* start = static_cast<const char*>(data);
  auto next = memory.upper_bound(start);
  if (next == memory.begin()) return false;
  const auto& [base, allocation] = *--next;
  return start + bytes <= base + allocation.bytes;
}

cudaError_t checkDevice(const void* data, size_t bytes, const char* what) {
  if (within(machine().memory, data, bytes)) return cudaSuccess;
  complain(what, data, bytes);
  return failed(cudaErrorInvalidValue);
}

void drain(CUstream_st* stream) {
  while (!stream->work.empty()) {
    const auto work = std::move(stream->work.front());
    stream->work.pop_front();
    work();
  }
}

bool redZoneIsIntact(const char* end) {
  for (size_t i = 0; i < kRedZone; ++i) {
    if (static_cast<unsigned char>(end[i]) != kRedByte) return false;
  }
  return true;
}

}  // namespace

void complain(const char* what, const void* data, size_t bytes) {
  char line[200];
  std::snprintf(line, sizeof line, "%s: %zu bytes at %p\n", what, bytes, data);
  Lock lock(machine().mutex);
  machine().complaints += line;
  if (std::getenv("QUANTO_CUDA_EMULATE_QUIET") == nullptr) std::fprintf(stderr, "quanto CUDA emulator: %s", line);
}

const char* takeComplaints() {
  Lock lock(machine().mutex);
  static std::string taken;
  taken.swap(machine().complaints);
  machine().complaints.clear();
  return taken.empty() ? nullptr : taken.c_str();
}

bool isDeviceMemory(const void* data, size_t bytes) {
  Lock lock(machine().mutex);
  return within(machine().memory, data, bytes);
}

size_t liveDeviceBytes() {
  Lock lock(machine().mutex);
  return machine().liveBytes;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  Lock lock(machine().mutex);
  if (machine().streams.count(stream) == 0) return failed(cudaErrorInvalidResourceHandle);
  stream->work.push_back(std::move(work));
  if (stream->work.size() > kLongestStream) drain(stream);
  return cudaSuccess;
}

}  // namespace quanto::emulator

using namespace quanto::emulator;

// The one fault that tests ask for: the error of a machine whose driver is missing (35) or that has no GPU (100).
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  const auto error = static_cast<cudaError_t>(settingOf("QUANTO_CUDA_EMULATE_ERROR", 0));
  if (error != cudaSuccess) return error;
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= kDevices) return failed(cudaErrorInvalidDevice);
  *properties = {"emulated device", memoryCapacity(), static_cast<int>(settingOf("QUANTO_CUDA_EMULATE_COMPUTE", 8)), 0};
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = settingOf("QUANTO_CUDA_EMULATE_ERROR", 0) == cudaErrorInsufficientDriver ? 0 : 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return failed(cudaErrorInvalidDevice);
  currentDevice = device;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    default:
      return "an error of the emulator";
  }
}
cudaError_t cudaGetLastError() {
  Lock lock(machine().mutex);
  return std::exchange(machine().lastError, cudaSuccess);
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  Lock lock(machine().mutex);
  *data = nullptr;
  const size_t capacity = memoryCapacity();
  if (bytes > capacity || machine().liveBytes + bytes > capacity) return failed(cudaErrorMemoryAllocation);
  // The real allocator aligns to 256 bytes.
  char* memory = static_cast<char*>(std::aligned_alloc(256, (bytes + kRedZone + 255) / 256 * 256));
  if (!memory) return failed(cudaErrorMemoryAllocation);
  std::memset(memory, kFreshByte, bytes);
  std::memset(memory + bytes, kRedByte, kRedZone);
  machine().memory[memory] = {bytes, currentDevice};
  machine().liveBytes += bytes;
  *data = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  if (!data) return cudaSuccess;
  Lock lock(machine().mutex);
  const auto found = machine().memory.find(static_cast<const char*>(data));
  if (found == machine().memory.end()) {
    complain("free of what is no block, or was freed before", data, 0);
    return failed(cudaErrorInvalidValue);
  }
  for (CUstream_st* stream : machine().streams) drain(stream);
  if (!redZoneIsIntact(found->first + found->second.bytes)) complain("a kernel wrote beyond the end of a block", data, found->second.bytes);
  machine().liveBytes -= found->second.bytes;
  machine().memory.erase(found);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  Lock lock(machine().mutex);
  *data = std::malloc(bytes);
  if (!*data) return failed(cudaErrorMemoryAllocation);
  machine().pinned[static_cast<const char*>(*data)] = {bytes, 0};
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* data) {
  Lock lock(machine().mutex);
  if (machine().pinned.erase(static_cast<const char*>(data)) == 0) return failed(cudaErrorInvalidValue);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  Lock lock(machine().mutex);
  if (kind != cudaMemcpyHostToDevice) {
    const cudaError_t error = checkDevice(from, bytes, "copy from what is no device memory");
    if (error != cudaSuccess) return error;
  }
  if (kind != cudaMemcpyDeviceToHost) {
    const cudaError_t error = checkDevice(to, bytes, "copy to what is no device memory");
    if (error != cudaSuccess) return error;
  }
  // Only pinned memory is copied beside the host; the real runtime falls back to waiting, which is never meant.
  const void* host = kind == cudaMemcpyHostToDevice ? from : to;
  if (kind != cudaMemcpyDeviceToDevice && !within(machine().pinned, host, bytes)) {
    complain("asynchronous copy with host memory that is not pinned", host, bytes);
    return failed(cudaErrorInvalidValue);
  }
  return enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  Lock lock(machine().mutex);
  const cudaError_t error = checkDevice(data, bytes, "fill of what is no device memory");
  if (error != cudaSuccess) return error;
  return enqueue(stream, [=] { std::memset(data, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  Lock lock(machine().mutex);
  *stream = new CUstream_st{currentDevice, {}};
  machine().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Lock lock(machine().mutex);
  if (machine().streams.count(stream) == 0) return failed(cudaErrorInvalidResourceHandle);
  drain(stream);
  machine().streams.erase(stream);
  for (CUevent_st* event : machine().events) {
    if (event->stream == stream) event->stream = nullptr;
  }
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Lock lock(machine().mutex);
  if (machine().streams.count(stream) == 0) return failed(cudaErrorInvalidResourceHandle);
  drain(stream);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  Lock lock(machine().mutex);
  *event = new CUevent_st;
  machine().events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Lock lock(machine().mutex);
  if (machine().events.erase(event) == 0) return failed(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  Lock lock(machine().mutex);
  if (machine().events.count(event) == 0 || machine().streams.count(stream) == 0) return failed(cudaErrorInvalidResourceHandle);
  event->stream = stream;
  return cudaSuccess;
}
// Runs the whole stream, which is at least as far as the event.
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Lock lock(machine().mutex);
  if (machine().events.count(event) == 0) return failed(cudaErrorInvalidResourceHandle);
  if (event->stream) drain(event->stream);
  return cudaSuccess;
}
