// The memory behind tensors: shared by views, taken when the kernel that fills it runs, returned when the last reference goes.
#pragma once

#include <memory>

#include "device.h"
#include "error.h"
#include "reference.h"

namespace quanto {

// The memory that an environment's tensors have taken. A queued kernel has yet to take that of its outputs.
class Account : public Counted {
 public:
  void take(int64_t bytes) {
    const int64_t now = bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
  }
  void giveBack(int64_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
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

  // Both on the JS thread only: in-place writes, counted as they are issued, and the JS handles through which it can be reached.
  uint32_t version = 0;
  uint32_t handles = 0;
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
