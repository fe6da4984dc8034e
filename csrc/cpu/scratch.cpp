#include "scratch.h"

#include <new>

#include "pool.h"

namespace quanto::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};
// Whole pages, so that slowly growing requests do not allocate each time.
constexpr int64_t kStep = 65536;

}  // namespace

ThreadBuffer::~ThreadBuffer() {
  ::operator delete(data_, kAlignment);
  data_ = nullptr;
  capacity_ = 0;
}

void* ThreadBuffer::get(int64_t bytes) {
  if (bytes < 0 || bytes > INT64_MAX - kStep) return nullptr;
  if (data_ && bytes <= capacity_) return data_;
  ::operator delete(data_, kAlignment);
  const int64_t capacity = bytes / kStep * kStep + kStep;
  data_ = ::operator new(static_cast<size_t>(capacity), kAlignment, std::nothrow);
  capacity_ = data_ ? capacity : 0;
  return data_;
}

void* scratch(int64_t bytes) {
  thread_local ThreadBuffer buffer;
  return buffer.get(bytes);
}

}  // namespace quanto::cpu
