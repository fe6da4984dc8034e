#include "backend.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "../huge_pages.h"
#include "conv_pack.h"
#include "gemm/gemm.h"
#include "kernels.h"
#include "pool.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quanto::cpu {

namespace {

const char* unavailable() { return nullptr; }
int32_t deviceCount() { return 1; }

// Kernels run on the thread that calls them, so there is nothing to queue or to wait for.
Queue* openQueue(int32_t) { return nullptr; }
void closeQueue(Queue*) {}
Status synchronize(Queue*) { return Status::ok; }

constexpr std::align_val_t kAlignment{64};

#if defined(__linux__)
// Large blocks go back to the system when released.
constexpr size_t kMapped = size_t{1} << 20, kHuge = size_t{4} << 20;

void* allocate(int32_t, size_t bytes) {
  if (bytes < kMapped) return ::operator new(bytes, kAlignment, std::nothrow);
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= kHuge) preferHugePages(data, bytes);
  return data;
}

void release(int32_t, void* data, size_t bytes) {
  if (bytes < kMapped) ::operator delete(data, kAlignment);
  else munmap(data, bytes);
}
#else
void* allocate(int32_t, size_t bytes) { return ::operator new(bytes, kAlignment, std::nothrow); }
void release(int32_t, void* data, size_t) { ::operator delete(data, kAlignment); }
#endif

// On all threads, above all for the page faults of a target that nobody has written yet.
Status copyBytes(Queue*, void* target, const void* source, size_t bytes) {
  constexpr int64_t kGrain = 1 << 17;
  parallelFor(static_cast<int64_t>(bytes), kGrain, [=](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(target) + begin, static_cast<const char*>(source) + begin, static_cast<size_t>(end - begin));
  });
  return Status::ok;
}

size_t packedBytes(int64_t rows, int64_t columns) { return static_cast<size_t>(packedInt8Bytes(rows, columns)); }
size_t packedConvBytes(int64_t outChannels, int64_t inChannels, int64_t taps) {
  return static_cast<size_t>(packedConvSize(outChannels, inChannels, taps));
}

size_t packedBitsBytesOf(int64_t rows, int64_t columns, int32_t dtype, int32_t bits, int64_t groupSize) {
  return static_cast<size_t>(packedBitsBytes(rows, columns, {nullptr, static_cast<DType>(dtype), bits, groupSize}));
}

}  // namespace

const Backend* cpuBackend() {
  static constexpr Backend kBackend = {
      .abi = kBackendAbi,
      .name = "cpu",
      .unavailable = unavailable,
      .deviceCount = deviceCount,
      .openQueue = openQueue,
      .closeQueue = closeQueue,
      .synchronize = synchronize,
      .allocate = allocate,
      .release = release,
      .copyFromHost = copyBytes,
      .copyToHost = copyBytes,
      .packedBytes = packedBytes,
      .packedBitsBytes = packedBitsBytesOf,
      .packedConvBytes = packedConvBytes,
      .describe = nullptr,
#define KERNEL(name, parameters) .name = cpu::name,
#include "../kernels.def"
#undef KERNEL
  };
  return &kBackend;
}

}  // namespace quanto::cpu
