// What the plugin's files know of each other: the functions of the backend struct.
#pragma once

#include "../csrc/backend.h"

namespace quanto::cuda {

struct DeviceQueue;

const char* unavailable();
int32_t deviceCount();
// The number that the driver gives a device, which QUANTO_VISIBLE_DEVICES may have chosen.
int ordinalOf(int32_t device);
const char* describe();

Queue* openQueue(int32_t device);
void closeQueue(Queue* queue);
Status synchronize(Queue* queue);
void* allocate(int32_t device, size_t bytes);
void release(int32_t device, void* data, size_t bytes);
Status copyFromHost(Queue* queue, void* device, const void* host, size_t bytes);
Status copyToHost(Queue* queue, void* host, const void* device, size_t bytes);
size_t packedBitsBytes(int64_t rows, int64_t columns, int32_t dtype, int32_t bits, int64_t groupSize);
size_t packedConvBytes(int64_t outChannels, int64_t inChannels, int64_t taps);

void closeBlasLt(DeviceQueue& queue);

// Weak: a slot whose kernel is not written stays empty, and the op falls back on others or says so. test/cuda says which these are.
#define KERNEL(name, parameters) __attribute__((weak)) Status name parameters;
#include "../csrc/kernels.def"
#undef KERNEL

}  // namespace quanto::cuda
