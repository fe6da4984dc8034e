// The border between the core and a device: a plain C struct of kernel slots. The only core header that a backend includes,
// beside the .def tables, dtype.h and scalar_math.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quanto {

inline constexpr int kMaxDims = 8;

// Row-major codes, or an opaque form that only the device's own GEMM reads (see packWeight).
enum class Layout : int32_t { strided, packed };

// A strided window on memory. Strides count elements and may be 0 (broadcast); shape may contain 0.
struct View {
  void* data;  // of the first element, offset included
  int32_t dtype;
  int32_t ndim;
  Layout layout;
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];
};

enum class Status : int32_t { ok, outOfMemory, indexOutOfRange, deviceFailure };

enum class UnaryOp : int32_t {
#define UNARY(name, ...) name,
#include "unary.def"
#undef UNARY
};

enum class BinaryOp : int32_t {
#define BINARY(name, ...) name,
#include "binary.def"
#undef BINARY
};

#define QUANTO_REDUCE_OPS(REDUCE) \
  REDUCE(sum) REDUCE(mean) REDUCE(max) REDUCE(min) REDUCE(absmax) REDUCE(var) REDUCE(logsumexp) REDUCE(any) REDUCE(all)
enum class ReduceOp : int32_t {
#define REDUCE(name) name,
  QUANTO_REDUCE_OPS(REDUCE)
#undef REDUCE
};

// Sliding window of a convolution or a pool: height first, width second.
struct Window {
  int64_t kernel[2];
  int64_t stride[2];
  int64_t padding[2];
  int64_t dilation[2];
  int64_t groups;
};

// What follows a layer in the same call.
enum class Activation : int32_t { none, relu, gelu, geluTanh, silu };

// How exactly a product of real rows and quantized weights takes the rows, as PyTorch names it: as float32; in at least 14 bits, or two
// bfloat16 terms; or as bfloat16 has them. A kernel may be more exact than it is asked to be.
enum class Precision : int32_t { highest, high, medium };

// Update rules as PyTorch states them; `first` marks the step that initializes the state.
struct SgdStep {
  double learningRate, momentum, dampening, weightDecay;
  int32_t nesterov, first;
};
struct AdamStep {
  double learningRate, beta1, beta2, eps, weightDecay;
  int32_t decoupled;  // 1: AdamW
  int64_t step;       // counted from 1
};
struct AdadeltaStep {
  double learningRate, rho, eps, weightDecay;
};

// What the device runs its work on; each backend defines its own (a CUDA stream, nothing on the CPU).
struct Queue;

struct Backend {
  uint64_t abi;      // kBackendAbi, checked at load
  const char* name;  // the device's name in JS: "cpu", "cuda"

  // Null, or why the device cannot be used, in words for the user.
  const char* (*unavailable)();
  int32_t (*deviceCount)();
  Queue* (*openQueue)(int32_t device);
  void (*closeQueue)(Queue* queue);
  // Waits until everything given to the queue has run.
  Status (*synchronize)(Queue* queue);
  // 64-byte aligned; null when out of memory. Cached by the core, so backends need no cache of their own.
  void* (*allocate)(int32_t device, size_t bytes);
  void (*release)(int32_t device, void* data, size_t bytes);
  Status (*copyFromHost)(Queue* queue, void* device, const void* host, size_t bytes);
  Status (*copyToHost)(Queue* queue, void* host, const void* device, size_t bytes);
  // Bytes of the packed form of an int8 weight [rows, columns]; null where the device packs nothing.
  size_t (*packedBytes)(int64_t rows, int64_t columns);
  // The same of a weight for linearBits; null where the device has no such kernel.
  size_t (*packedBitsBytes)(int64_t rows, int64_t columns, int32_t dtype, int32_t bits, int64_t groupSize);
  // The same for the weight of a convolution [outChannels, inChannels of a group, ...taps].
  size_t (*packedConvBytes)(int64_t outChannels, int64_t inChannels, int64_t taps);
  // What was found of drivers and libraries, in one line for the user; may be null.
  const char* (*describe)();

#define KERNEL(name, parameters) Status(*name) parameters;
#include "kernels.def"
#undef KERNEL
};

// Hash of everything that both sides must agree on: the text of the slots, of the op enums and of the dtypes.
constexpr uint64_t hashText(const char* text, uint64_t hash = 0xcbf29ce484222325ull) {
  for (; *text; ++text) hash = (hash ^ static_cast<unsigned char>(*text)) * 0x100000001b3ull;
  return hash;
}

inline constexpr uint64_t kBackendAbi = hashText(
#define KERNEL(name, parameters) #name #parameters ";"
#include "kernels.def"
#undef KERNEL
#define UNARY(name, ...) #name ";"
#include "unary.def"
#undef UNARY
#define BINARY(name, ...) #name ";"
#include "binary.def"
#undef BINARY
#define DTYPE(id, name, type, bytes, ...) name #bytes ";"
#include "dtypes.def"
#undef DTYPE
);

// A plugin exports this one symbol.
using OpenBackend = const Backend* (*)();
inline constexpr const char* kOpenBackendSymbol = "quantoOpenBackend";

}  // namespace quanto
