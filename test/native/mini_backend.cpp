// The smallest device there can be: malloc'ed memory and two kernels for float32, run at once. It proves that backend.h is all that a
// backend needs. Built a second time with a false ABI, it must be refused.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend.h"
#include "dtype.h"
#include "scalar_math.h"

#ifndef MINI_ABI
#define MINI_ABI kBackendAbi
#endif

namespace {

using namespace quanto;

constexpr size_t kAlignment = 64;

bool isFloat(const View& view) { return static_cast<DType>(view.dtype) == DType::float32; }

// Calls body(element of a, element of b) for every index of two views of one shape.
template <class Body>
void forEach(const View& a, const View& b, Body&& body) {
  int64_t count = 1;
  for (int axis = 0; axis < a.ndim; ++axis) count *= a.shape[axis];
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offsetA = 0, offsetB = 0;
    for (int axis = a.ndim - 1; axis >= 0; --axis) {
      offsetA += rest % a.shape[axis] * a.strides[axis];
      offsetB += rest % a.shape[axis] * b.strides[axis];
      rest /= a.shape[axis];
    }
    body(static_cast<float*>(a.data)[offsetA], static_cast<float*>(b.data)[offsetB]);
  }
}

Status fill(Queue*, const View* out, double value) {
  if (!isFloat(*out)) return Status::deviceFailure;
  forEach(*out, *out, [value](float& to, float&) { to = static_cast<float>(value); });
  return Status::ok;
}

template <class T>
T compute(UnaryOp op, T x, T a, T b) {
  switch (op) {
#define UNARY(name, result, expression) \
  case UnaryOp::name:                   \
    return static_cast<T>(expression);
#include "unary.def"
#undef UNARY
  }
  return x;
}

Status unary(Queue*, int32_t op, const View* src, const View* out, double a, double b) {
  if (!isFloat(*src) || !isFloat(*out)) return Status::deviceFailure;
  forEach(*src, *out,
          [=](float& from, float& to) { to = compute(static_cast<UnaryOp>(op), from, static_cast<float>(a), static_cast<float>(b)); });
  return Status::ok;
}

Status copyBytes(Queue*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::ok;
}

// All of its queues are this one, because it has nothing to wait for. It counts how often somebody waited.
struct Waits {
  int count = 0;
  char text[16] = "";
} waits;

constexpr Backend makeBackend() {
  Backend backend{};
  backend.abi = MINI_ABI;
  backend.name = "mini";
  backend.unavailable = []() -> const char* { return nullptr; };
  backend.deviceCount = [] { return 2; };
  backend.openQueue = [](int32_t) { return reinterpret_cast<Queue*>(&waits); };
  backend.closeQueue = [](Queue*) {};
  backend.synchronize = [](Queue*) {
    ++waits.count;
    return Status::ok;
  };
  backend.describe = []() -> const char* {
    std::snprintf(waits.text, sizeof waits.text, "%d waits", waits.count);
    return waits.text;
  };
  // A size of whole cache lines is what aligned_alloc asks for.
  backend.allocate = [](int32_t, size_t bytes) {
    return std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  };
  backend.release = [](int32_t, void* data, size_t) { std::free(data); };
  backend.copyFromHost = copyBytes;
  backend.copyToHost = copyBytes;
  backend.fill = fill;
  backend.unary = unary;
  return backend;
}

constexpr Backend kBackend = makeBackend();

}  // namespace

extern "C" __attribute__((visibility("default"))) const quanto::Backend* quantoOpenBackend() { return &kBackend; }
