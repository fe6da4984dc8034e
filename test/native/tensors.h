// Tensors for the native tests: an environment, random strided tensors, and their values on the host.
#pragma once

#include <cstring>
#include <vector>

#include "check.h"
#include "ops/shape.h"
#include "ops/transfer.h"

namespace check {

using quanto::DType;
using quanto::Shape;
using quanto::Tensor;

template <class T>
Tensor make(const std::vector<T>& values, const Shape& shape, DType dtype) {
  return quanto::ops::fromHost(values.data(), static_cast<int64_t>(values.size() * sizeof(T)), dtype, shape, quanto::cpuDevice());
}

inline std::vector<unsigned char> bytesOf(const Tensor& tensor) {
  std::vector<unsigned char> bytes(static_cast<size_t>(tensor.bytes()));
  quanto::ops::readToHostNow(tensor, bytes.data());
  return bytes;
}

template <class T>
std::vector<T> valuesOf(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.numel()));
  quanto::ops::readToHostNow(tensor, values.data());
  return values;
}

inline int64_t below(Random& random, int64_t end) { return random.bits() % static_cast<uint32_t>(end); }

inline Shape randomShape(Random& random, int ndim, int64_t largest) {
  Shape shape;
  for (int i = 0; i < ndim; ++i) shape.push(below(random, 8) == 0 ? below(random, 2) : 1 + below(random, largest));
  return shape;
}

// The same values in other memory: permuted, with gaps between elements, or broadcast where a dim allows it.
inline Tensor scatterInMemory(Random& random, const Tensor& src) {
  using namespace quanto::ops;
  Shape order, back = src.shape(), wide;
  for (int i = 0; i < src.ndim(); ++i) order.push(i);
  for (int i = src.ndim() - 1; i > 0; --i) std::swap(order[i], order[static_cast<int>(below(random, i + 1))]);
  for (int i = 0; i < src.ndim(); ++i) back[static_cast<int>(order[i])] = i;
  Tensor home = contiguous(permute(src, order));
  // Every other element of something twice as long.
  if (src.ndim() > 0 && below(random, 2)) {
    const int axis = static_cast<int>(below(random, src.ndim()));
    const Tensor pair = reshape(home, [&] {
      Shape shape = home.shape();
      if (shape.size() < quanto::kMaxDims) shape.push(1);
      return shape;
    }());
    if (pair.ndim() > home.ndim()) {
      // [.., 1] next to itself and moved beside the axis reads as [.., 2n, ..].
      const Tensor doubled = contiguous(moveAxis(cat({pair, pair}, -1), home.ndim(), axis + 1));
      Shape shape = home.shape();
      shape[axis] *= 2;
      home = slice(reshape(doubled, shape), axis, 0, shape[axis], 2);
    }
  }
  return permute(home, back);
}

}  // namespace check
