// Tensors of any dtype and layout for the kernel tests, read and written as doubles in row-major order.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "backend.h"
#include "check.h"
#include "cpu/kernels.h"
#include "cpu/pool.h"
#include "dtype.h"

namespace test {

using quanto::DType;
using quanto::Status;
using quanto::View;
using Shape = std::vector<int64_t>;

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Visit>
auto visit(DType dtype, Visit&& body) {
  switch (dtype) {
#define DTYPE(id, ...) \
  case DType::id:      \
    return body(std::integral_constant<DType, DType::id>());
#include "dtypes.def"
#undef DTYPE
  }
  std::abort();
}

// How the elements lie: row-major; reversed dims with gaps between elements; one element for all.
enum class Order { dense, strided, broadcast };

class Tensor {
 public:
  Tensor(DType dtype, const Shape& shape, Order order = Order::dense) : shape_(shape) {
    view_.dtype = static_cast<int32_t>(dtype);
    view_.ndim = static_cast<int32_t>(shape.size());
    int64_t size = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
      const size_t dim = order == Order::strided ? i : shape.size() - 1 - i;
      view_.shape[dim] = shape[dim];
      view_.strides[dim] = order == Order::broadcast ? 0 : order == Order::strided ? 2 * size : size;
      size *= shape[dim];
      count_ = size;
    }
    if (order == Order::strided) size *= 2;
    bytes_.assign(static_cast<size_t>(size * quanto::sizeOf(dtype)) + 64, 0x5a);
    view_.data = bytes_.data();
  }
  Tensor(const Tensor& other) : shape_(other.shape_), count_(other.count_), bytes_(other.bytes_), view_(other.view_) {
    view_.data = bytes_.data();
  }
  Tensor& operator=(const Tensor&) = delete;

  // As an argument of a kernel.
  operator const View*() const { return &view_; }
  View& view() { return view_; }
  DType dtype() const { return static_cast<DType>(view_.dtype); }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return count_; }
  const std::vector<unsigned char>& bytes() const { return bytes_; }

  double operator[](int64_t index) const {
    return visit(dtype(), [&](auto type) -> double {
      const auto value = static_cast<const typename quanto::StorageOf<type>::type*>(view_.data)[place(index)];
      if constexpr (quanto::info(type).kind == quanto::Kind::real) return quanto::toFloat<type>(value);
      else return static_cast<double>(value);
    });
  }
  void set(int64_t index, double value) {
    visit(dtype(), [&](auto type) {
      using T = typename quanto::StorageOf<type>::type;
      auto& target = static_cast<T*>(view_.data)[place(index)];
      if constexpr (quanto::info(type).kind == quanto::Kind::real) target = quanto::fromFloat<type>(static_cast<float>(value));
      else target = static_cast<T>(static_cast<int64_t>(value));
    });
  }
  template <class Value>
  Tensor& fill(Value&& value) {
    for (int64_t i = 0; i < count_; ++i) set(i, value(i));
    return *this;
  }
  std::vector<double> values() const {
    std::vector<double> all(count_);
    for (int64_t i = 0; i < count_; ++i) all[i] = (*this)[i];
    return all;
  }
  // Uniform in [-limit, limit]; integers of small size; booleans.
  Tensor& randomize(check::Random& random, double limit = 2) {
    return fill([&](int64_t) -> double {
      if (quanto::isReal(dtype())) return limit * random.symmetric();
      if (dtype() == DType::boolean) return random.bits() % 2;
      return dtype() == DType::uint8 ? random.bits() % 20 : static_cast<double>(random.bits() % 40) - 20;
    });
  }

 private:
  int64_t place(int64_t index) const {
    int64_t offset = 0;
    for (int dim = view_.ndim - 1; dim >= 0; --dim) {
      offset += index % view_.shape[dim] * view_.strides[dim];
      index /= view_.shape[dim];
    }
    return offset;
  }

  Shape shape_;
  int64_t count_ = 1;
  std::vector<unsigned char> bytes_;
  View view_{};
};

// Half a unit in the last place of a stored dtype, relative; and the smallest absolute step.
inline double roundoff(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return std::ldexp(1, -11);
    case DType::bfloat16:
      return std::ldexp(1, -8);
    case DType::float8_e4m3fn:
    case DType::float8_e4m3fnuz:
      return std::ldexp(1, -4);
    case DType::float8_e5m2:
      return std::ldexp(1, -3);
    case DType::float32:
      return std::ldexp(1, -24);
    default:
      return 0;
  }
}
inline double smallest(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return std::ldexp(1, -25);
    case DType::float8_e4m3fn:
    case DType::float8_e4m3fnuz:
      return std::ldexp(1, -10);
    case DType::float8_e5m2:
      return std::ldexp(1, -17);
    default:
      return quanto::isReal(dtype) ? std::ldexp(1, -140) : 0;
  }
}

// Within `ulps` roundings of float32 relative to `magnitude` (the result itself when 0), and one rounding of the dtype.
inline bool close(double actual, double expected, DType dtype, double ulps, double magnitude = 0) {
  if (expected != expected || actual != actual) return expected != expected && actual != actual;
  if (dtype == DType::float16 && std::fabs(expected) >= 65520) expected = std::copysign(kInfinity, expected);
  if (std::isinf(expected) || std::isinf(actual)) return actual == expected;
  const double error = ulps * std::ldexp(1, -23) * std::fmax(std::fabs(expected), magnitude);
  return std::fabs(actual - expected) <= error + roundoff(dtype) * (std::fabs(expected) + error) + smallest(dtype);
}

// One check for all elements; the first that differs is printed.
template <class Expected>
bool checkEach(const char* what, const Tensor& out, double ulps, Expected&& expected, double magnitude = 0) {
  int64_t i = 0;
  double got = 0, want = 0;
  for (; i < out.count(); ++i) {
    got = out[i];
    want = expected(i);
    if (!close(got, want, out.dtype(), ulps, magnitude)) break;
  }
  return CHECK(i == out.count(), "%s (%s) at %ld of %ld: %.9g expected %.9g", what, quanto::info(out.dtype()).name, long(i),
               long(out.count()), got, want);
}

// Runs a kernel that writes `out` on one thread and on three: the bits must be the same.
template <class Run>
void onThreads(const char* what, Tensor& out, Run&& run) {
  Tensor first = out;
  quanto::cpu::setThreadCount(1);
  CHECK(run(first) == Status::ok, "%s failed", what);
  quanto::cpu::setThreadCount(3);
  CHECK(run(out) == Status::ok, "%s failed", what);
  CHECK(out.bytes() == first.bytes(), "%s depends on the thread count", what);
}

// Row-major place of `index` with dim `axis` replaced by `at`, in a shape that differs along the axis alone.
inline int64_t replaceAlong(const Shape& shape, int64_t index, int axis, int64_t at, int64_t otherSize) {
  int64_t inner = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  const int64_t outer = index / inner / shape[axis];
  return (outer * otherSize + at) * inner + index % inner;
}
inline int64_t along(const Shape& shape, int64_t index, int axis) {
  int64_t inner = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  return index / inner % shape[axis];
}

inline constexpr DType kAll[] = {
#define DTYPE(id, ...) DType::id,
#include "dtypes.def"
#undef DTYPE
};
inline constexpr DType kFloats[] = {DType::float32, DType::float16, DType::bfloat16};
inline constexpr Order kOrders[] = {Order::dense, Order::strided, Order::broadcast};

}  // namespace test
