// A kernel slot that first looks whether its operands lie in memory of the device: what was freed, or never was there, is told of.
#pragma once

#include <type_traits>

#include "../../csrc/backend.h"
#include "../../csrc/dtype.h"
#include "runtime.h"

namespace quanto::emulator {

inline bool liesOnDevice(const View* view) {
  if (!view) return true;
  int64_t last = 0;
  for (int dim = 0; dim < view->ndim; ++dim) {
    if (view->shape[dim] == 0) return true;
    last += (view->shape[dim] - 1) * view->strides[dim];
  }
  // What is packed has a size of its own.
  if (view->layout == Layout::packed) last = 0;
  const auto bytes = static_cast<size_t>((last + 1) * sizeOf(static_cast<DType>(view->dtype)));
  if (isDeviceMemory(view->data, bytes)) return true;
  complain("an operand lies in no memory of the device", view->data, bytes);
  return false;
}
template <class T>
bool liesOnDevice(const T&) {
  return true;
}

template <auto kernel, class... Parameters>
Status callChecked(Parameters... parameters) {
  if (!(liesOnDevice(parameters) && ...)) return Status::deviceFailure;
  return kernel(parameters...);
}

template <auto kernel, class Signature = std::remove_pointer_t<decltype(kernel)>>
struct Checked;
template <auto kernel, class... Parameters>
struct Checked<kernel, Status(Parameters...)> {
  static Status call(Parameters... parameters) { return callChecked<kernel, Parameters...>(parameters...); }
};
template <auto kernel>
inline constexpr auto checked = &Checked<kernel>::call;

}  // namespace quanto::emulator
