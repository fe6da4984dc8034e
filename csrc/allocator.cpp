#include "allocator.h"

#include <algorithm>
#include <bit>
#include <new>

namespace quanto {

// Classes: multiples of 64 up to 512, then 8 steps to each doubling (at most 12.5 % of a block is slack).
static constexpr size_t kLinearLimit = 512;
static constexpr int kLinearClasses = kLinearLimit / 64;
static constexpr int kSteps = 8;

int Allocator::classOf(size_t bytes) {
  if (bytes <= kLinearLimit) return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / 64);
  const int exponent = std::bit_width(bytes - 1) - 1;  // 2^exponent < bytes <= 2^(exponent + 1)
  const size_t step = (size_t{1} << exponent) / kSteps;
  const int within = static_cast<int>((bytes - (size_t{1} << exponent) + step - 1) / step);  // 1..kSteps
  return kLinearClasses + (exponent - std::bit_width(kLinearLimit) + 1) * kSteps + within - 1;
}

size_t Allocator::sizeOfClass(int index) {
  if (index < kLinearClasses) return (static_cast<size_t>(index) + 1) * 64;
  const int exponent = (index - kLinearClasses) / kSteps + std::bit_width(kLinearLimit) - 1;
  const size_t base = size_t{1} << exponent;
  return base + base / kSteps * (static_cast<size_t>((index - kLinearClasses) % kSteps) + 1);
}

void* Allocator::allocate(size_t bytes) {
  if (bytes > (size_t{1} << 47)) return nullptr;  // beyond any address space; the classes end there
  const int index = classOf(bytes);
  const size_t size = sizeOfClass(index);
  void* data = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (!free_[index].empty()) {
      data = free_[index].back();
      free_[index].pop_back();
      cached_.fetch_sub(size, std::memory_order_relaxed);
    }
  }
  if (!data) data = backend_.allocate(device_, size);
  if (!data) {
    trim();
    data = backend_.allocate(device_, size);
  }
  if (data) used_.fetch_add(size, std::memory_order_relaxed);
  return data;
}

void Allocator::release(void* data, size_t bytes) noexcept {
  const int index = classOf(bytes);
  const size_t size = sizeOfClass(index);
  const size_t used = used_.fetch_sub(size, std::memory_order_relaxed) - size;
  {
    std::lock_guard lock(mutex_);
    if (cached_.load(std::memory_order_relaxed) + size <= std::max(kCacheFloor, used) && keep(index, data)) {
      cached_.fetch_add(size, std::memory_order_relaxed);
      return;
    }
  }
  backend_.release(device_, data, size);
}

// False when there is no memory to list the block.
bool Allocator::keep(int index, void* data) noexcept {
  try {
    free_[index].push_back(data);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void Allocator::trim() {
  std::lock_guard lock(mutex_);
  for (int index = 0; index < kClasses; ++index) {
    for (void* data : free_[index]) backend_.release(device_, data, sizeOfClass(index));
    free_[index].clear();
  }
  cached_.store(0, std::memory_order_relaxed);
}

}  // namespace quanto
