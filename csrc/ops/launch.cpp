#include "launch.h"

namespace quanto::ops::detail {

namespace {

// Made ahead, for when there is no memory to make one; never freed, because streams may run until the process ends.
const std::shared_ptr<const Error>& kNoMemoryForError = *new std::shared_ptr<const Error>(
    std::make_shared<Error>(ErrorCode::OUT_OF_MEMORY, "[stream] the process is out of memory; dispose() tensors you no longer need"));

std::shared_ptr<const Error> makeFailure(Status status, const char* op, const Device& device) {
  switch (status) {
    case Status::outOfMemory:
      return std::make_shared<Error>(ErrorCode::OUT_OF_MEMORY,
                                     text("[", op, "] ", device.name, " is out of memory with ", device.allocator.usedBytes() >> 20,
                                          " MiB in tensors; dispose() tensors you no longer need, wrap steps in tidy(), or use smaller "
                                          "batches"));
    case Status::indexOutOfRange:
      return std::make_shared<Error>(ErrorCode::INDEX_OUT_OF_RANGE,
                                     text("[", op,
                                          "] expected every index to lie within the indexed dimension, from 0; check the "
                                          "values of the index tensor"));
    default:
      return std::make_shared<Error>(ErrorCode::DEVICE_FAILURE,
                                     text("[", op, "] the kernel failed on ", device.name, "; run with QUANTO_SYNC=1 to find the call"));
  }
}

}  // namespace

std::shared_ptr<const Error> failureOf(Status status, const char* op, const Device& device) noexcept {
  if (status == Status::ok) return nullptr;
  try {
    return makeFailure(status, op, device);
  } catch (const std::bad_alloc&) {
    return kNoMemoryForError;
  }
}

void failMissingSlot(const char* op, const Device& device) {
  fail(ErrorCode::NOT_SUPPORTED, "[", op, "] is not available on ", device.name, "; move its operands with .to('cpu')");
}

void joinDevice(const char* op, Device*& device, const Tensor& tensor) {
  if (!device) device = &tensor.device();
  if (device == &tensor.device()) return;
  fail(ErrorCode::DEVICE_MISMATCH, "[", op, "] expected all tensors on ", device->name, " but got ", device->name, " and ",
       tensor.device().name, "; move one with .to('", device->name, "')");
}

}  // namespace quanto::ops::detail
