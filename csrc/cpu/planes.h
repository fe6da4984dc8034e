// Dense tensors as planes of float32 (height x width), for kernels that work on one plane at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "elements.h"
#include "loops.h"

namespace quanto::cpu {

inline int64_t planeSize(const View& view) { return view.shape[view.ndim - 2] * view.shape[view.ndim - 1]; }

class PlaneReader {
 public:
  explicit PlaneReader(const View& view) : reader_(view, 1), size_(planeSize(view)) {}
  int64_t size() const { return size_; }
  // In place where the tensor holds float32, else in `buffer`.
  const float* read(int64_t index, float* buffer) const { return reader_.read(index * size_, size_, buffer); }

 private:
  Reader<float> reader_;
  int64_t size_;
};

class PlaneWriter {
 public:
  explicit PlaneWriter(const View& view) : writer_(view, 1), size_(planeSize(view)) {}
  int64_t size() const { return size_; }
  float* target(int64_t index, float* buffer) const { return writer_.target(index * size_, buffer); }
  void write(int64_t index, const float* plane) const { writer_.write(index * size_, size_, plane); }

 private:
  Writer<float> writer_;
  int64_t size_;
};

// body(index, buffer) for each of `count` planes that take `work` operations each; the scratch buffer holds `values` floats.
template <class Body>
Status forEachPlane(int64_t count, int64_t work, int64_t values, Body&& body) {
  std::atomic<bool> failed{false};
  parallelFor(count, std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    auto* buffer = static_cast<float*>(scratch(values * static_cast<int64_t>(sizeof(float))));
    if (!buffer) failed = true;
    for (int64_t i = begin; buffer && i < end; ++i) body(i, buffer);
  });
  return failed ? Status::outOfMemory : Status::ok;
}

}  // namespace quanto::cpu
