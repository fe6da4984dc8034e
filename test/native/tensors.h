// Tensors for the native tests: an environment, random strided tensors, and their values on the host.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "ops/creation.h"
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

// The same values in other memory: permuted, or with gaps between elements.
inline Tensor scatterInMemory(Random& random, const Tensor& src) {
  using namespace quanto::ops;
  Shape order, back = src.shape();
  for (int i = 0; i < src.ndim(); ++i) order.push(i);
  for (int i = src.ndim() - 1; i > 0; --i) std::swap(order[i], order[static_cast<int>(below(random, i + 1))]);
  for (int i = 0; i < src.ndim(); ++i) back[static_cast<int>(order[i])] = i;
  Tensor home = contiguous(permute(src, order));
  // Every other element along an axis of something twice as long.
  if (src.ndim() > 0 && src.ndim() < quanto::kMaxDims && below(random, 2)) {
    const int axis = static_cast<int>(below(random, src.ndim()));
    Shape single = home.shape(), doubled = home.shape();
    single.push(1);
    doubled[axis] *= 2;
    const Tensor values = reshape(home, single), gaps = full(single, 77, src.dtype(), src.device());
    home = slice(reshape(moveAxis(cat({values, gaps}, -1), src.ndim(), axis + 1), doubled), axis, 0, doubled[axis], 2);
  }
  return permute(home, back);
}

// Small multiples of a half, which are summed without rounding in whatever order; `special` mixes in NaN, infinity and a huge value.
inline Tensor halves(Random& random, const Shape& shape, DType dtype, bool special = false) {
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (float& value : values) {
    value = static_cast<float>(below(random, 13) - 4) / 2;
    if (special && below(random, 4) == 0) value = below(random, 2) ? NAN : below(random, 2) ? INFINITY : -1e30f;
  }
  return quanto::ops::toDType(make(values, shape, DType::float32), dtype);
}

// Room for the rounding of another summation order, by dtype.
inline double toleranceOf(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 1e-5;
    case DType::float16:
      return 2e-3;
    case DType::bfloat16:
      return 2e-2;
    default:
      return quanto::isReal(dtype) ? 0.3 : 0;
  }
}

// Equal in dtype, shape and, but for rounding, values.
inline bool alike(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return false;
  if (a.packed() || b.packed()) return a.packed() == b.packed();
  if (a.numel() > 1000000) return true;
  const auto bytesA = bytesOf(a), bytesB = bytesOf(b);
  if (bytesA == bytesB) return true;
  const auto x = valuesOf<float>(quanto::ops::toDType(a, DType::float32)), y = valuesOf<float>(quanto::ops::toDType(b, DType::float32));
  const double tolerance = toleranceOf(a.dtype());
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (x[i] != x[i] && y[i] != y[i])) continue;
    if (!(std::fabs(x[i] - y[i]) <= tolerance * std::max(1.0f, std::fabs(x[i])))) return false;
  }
  return true;
}

}  // namespace check
