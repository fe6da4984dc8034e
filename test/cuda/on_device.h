// Operands of kernel tests on the emulated device.
#pragma once

#include <optional>

#include "../native/test_tensor.h"

extern "C" const quanto::Backend* quantoOpenBackend();

namespace test {

inline const quanto::Backend& device() { return *quantoOpenBackend(); }
inline quanto::Queue* queue = nullptr;

// A tensor's bytes on the device, freed at the end. They begin `offset` bytes from where memory is aligned.
class OnDevice {
 public:
  explicit OnDevice(const Tensor& tensor, size_t offset = 0)
      : bytes_(tensor.bytes().size() + offset), memory_(device().allocate(0, bytes_)), view_(*static_cast<const View*>(tensor)) {
    view_.data = static_cast<char*>(memory_) + offset;
    CHECK(device().copyFromHost(queue, view_.data, tensor.bytes().data(), tensor.bytes().size()) == Status::ok, "copyFromHost");
  }
  ~OnDevice() { device().release(0, memory_, bytes_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  // As an argument of a kernel.
  operator const View*() const { return &view_; }
  // To where the tensor that it came from has its elements.
  void read(Tensor& tensor) const {
    CHECK(device().copyToHost(queue, tensor.view().data, view_.data, tensor.bytes().size()) == Status::ok, "copyToHost");
  }

 private:
  size_t bytes_;
  void* memory_;
  View view_;
};

// An operand that may be missing.
class MaybeOnDevice {
 public:
  explicit MaybeOnDevice(const Tensor* tensor) {
    if (tensor) there_.emplace(*tensor);
  }
  operator const View*() const { return there_ ? static_cast<const View*>(*there_) : nullptr; }

 private:
  std::optional<OnDevice> there_;
};

}  // namespace test
