// What JS asks of tensors, devices and the machine.
#pragma once

#include "common.h"

namespace quanto::ops {

// Memory of the caller, valid during the call.
struct Bytes {
  const void* data;
  int64_t size;
};

Tensor fromBytes(const Bytes& bytes, DType dtype, const Shape& shape, Device& device);
Shape shapeOf(const Tensor& tensor);
Shape stridesOf(const Tensor& tensor);
DType dtypeOf(const Tensor& tensor);
int64_t deviceOf(const Tensor& tensor);
bool isContiguous(const Tensor& tensor);
bool isPacked(const Tensor& tensor);
// Counts in-place writes to the storage.
int64_t versionOf(const Tensor& tensor);
// Equal for two tensors exactly when they share memory, as long as both live.
int64_t storageOf(const Tensor& tensor);
int64_t storageBytes(const Tensor& tensor);

int64_t deviceId(const std::string& name);
std::string deviceName(int64_t id);
std::vector<std::string> deviceNames();
// Bytes in tensors and bytes in the cache of the device's allocator.
std::vector<int64_t> deviceMemory(int64_t id);
// What the device's backend found of drivers and libraries; empty if it says nothing.
std::string describeDevice(int64_t id);
std::string loadBackendFile(const std::string& path);
void synchronize();
int64_t threadCount();
void setThreadCount(int64_t count);
// "isa=vnni; float32: avx512, int8: vnni"
std::string cpuDescription();

}  // namespace quanto::ops
