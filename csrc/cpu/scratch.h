// Memory that belongs to a thread and is kept between kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quanto::cpu {

// Grows on demand; every buffer declared thread_local is one more scratch of its thread.
class ThreadBuffer {
 public:
  ThreadBuffer() = default;
  ThreadBuffer(const ThreadBuffer&) = delete;
  ThreadBuffer& operator=(const ThreadBuffer&) = delete;
  ~ThreadBuffer();

  // 64-byte aligned, contents undefined, valid until the next call. Null when out of memory.
  void* get(int64_t bytes);

 private:
  void* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace quanto::cpu
