// Caching allocator of one device: freed blocks wait in lists by size class for the next tensor of that size. Fresh pages cost 3 to
// 4 times a kernel's own time, so training loops live from the cache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "backend.h"

namespace quanto {

class Allocator {
 public:
  Allocator(const Backend& backend, int32_t device) : backend_(backend), device_(device) {}
  Allocator(const Allocator&) = delete;
  ~Allocator() { trim(); }

  // Null when the device has no memory left, even after the cache was given back. Any thread may call.
  void* allocate(size_t bytes);
  void release(void* data, size_t bytes) noexcept;
  // Gives every cached block back to the device.
  void trim();

  size_t usedBytes() const { return used_.load(std::memory_order_relaxed); }
  size_t cachedBytes() const { return cached_.load(std::memory_order_relaxed); }

 private:
  // Past this the cache gives blocks back at once: it may hold as much as is in use, and never less than the floor.
  static constexpr size_t kCacheFloor = size_t{256} << 20;
  static constexpr int kClasses = 512;
  static int classOf(size_t bytes);
  static size_t sizeOfClass(int index);
  bool keep(int index, void* data) noexcept;

  const Backend& backend_;
  const int32_t device_;
  std::mutex mutex_;
  std::vector<void*> free_[kClasses];
  std::atomic<size_t> used_{0}, cached_{0};
};

}  // namespace quanto
