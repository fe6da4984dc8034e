#pragma once

#include <functional>

#include "common.h"

namespace quanto::ops {

// A row-major tensor filled from host bytes, which are copied at the call.
Tensor fromHost(const void* data, int64_t bytes, DType dtype, const Shape& shape, Device& device);
// Copies a tensor's row-major bytes to `host` in stream order, then calls `done` on the stream with the tensor's failure, if any.
void readToHost(const Tensor& src, void* host, std::function<void(std::shared_ptr<const Error>)> done);
// Waits for the stream; throws the tensor's failure.
void readToHostNow(const Tensor& src, void* host);
// A row-major tensor's bytes on another device.
Tensor moveBytes(const Tensor& src, Device& device);
// A file as a 1-D uint8 tensor: a private copy-on-write mapping, so that writes never reach the file.
Tensor mapFile(const std::string& path);
// Bytes of an open file as a 1-D uint8 tensor, read on the stream straight into the tensor's memory. A read that fails or comes short
// marks the tensor. The descriptor may be closed after the call.
Tensor readFile(int64_t descriptor, int64_t position, int64_t bytes);

}  // namespace quanto::ops
