// The memory behind tensors: shared by views, taken when the kernel that fills it runs, returned when the last reference goes.
#pragma once

#include <memory>

#include "device.h"
#include "error.h"
#include "reference.h"

namespace quanto {

// What an environment's tensors hold, counted at issue: bytes that a queued kernel has yet to take count already.
class Account : public Counted {
 public:
  void add(int64_t bytes) {
    const int64_t live = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (live > peak && !peak_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
    }
  }
  void remove(int64_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  int64_t peakBytes() const { return peak_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> bytes_{0}, peak_{0};
};

class Storage : public Counted {
 public:
  // Memory is taken at the first call of `materialize`.
  Storage(Account& account, Device& device, int64_t bytes);
  // Foreign memory (a mapped file) that is there already; `drop` gives it back.
  Storage(Account& account, Device& device, int64_t bytes, void* data, void (*drop)(void* data, int64_t bytes));

  // On the stream only. False when the device is out of memory.
  bool materialize();
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device& device() const { return device_; }

  // Counts in-place writes as they are issued; JS thread only.
  uint32_t version = 0;
  // Why the contents are not there. Written on the stream, read there or after waiting for it.
  std::shared_ptr<const Error> failure;

 private:
  ~Storage() override;
  Ref<Account> account_;
  Device& device_;
  const int64_t bytes_;
  void* data_ = nullptr;
  void (*drop_)(void*, int64_t) = nullptr;
};

}  // namespace quanto
