// Blocks of elements in and out of the two forms that kernels compute in: float32 for real dtypes, int64 for the others.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../backend.h"
#include "../dtype.h"
#include "bypass.h"
#include "loops.h"

namespace quanto::cpu {

inline DType dtypeOf(const View& view) { return static_cast<DType>(view.dtype); }

// Truncates and saturates; NaN gives 0.
inline int64_t toInteger(double value) {
  constexpr double kEnd = 9223372036854775808.0;
  if (value != value) return 0;
  if (value >= kEnd) return INT64_MAX;
  if (value < -kEnd) return INT64_MIN;
  return static_cast<int64_t>(value);
}

// The unsigned type of an element of so many bytes, for kernels that move bits.
template <int64_t bytes>
using BitsOf =
    std::conditional_t<bytes == 1, uint8_t, std::conditional_t<bytes == 2, uint16_t, std::conditional_t<bytes == 4, uint32_t, uint64_t>>>;

// Calls body with an integral constant, the bytes of an element of `dtype`.
template <class Body>
auto withElementBytes(DType dtype, Body&& body) {
  switch (sizeOf(dtype)) {
    case 1:
      return body(std::integral_constant<int64_t, 1>());
    case 2:
      return body(std::integral_constant<int64_t, 2>());
    case 4:
      return body(std::integral_constant<int64_t, 4>());
    default:
      return body(std::integral_constant<int64_t, 8>());
  }
}

// T is float, int64_t or uint8_t (booleans as 0 and 1).
template <class T>
using Load = void (*)(const void* source, int64_t stride, int64_t n, T* buffer);
template <class T>
using Store = void (*)(const T* buffer, int64_t n, void* target, int64_t stride);

template <class T>
Load<T> loadFunction(DType dtype);
template <class T>
Store<T> storeFunction(DType dtype);

// Whether an element of `dtype` is laid out as T, so that it can be used where it lies.
template <class T>
bool isStoredAs(DType dtype) {
  if constexpr (std::is_same_v<T, float>) return dtype == DType::float32;
  else if constexpr (std::is_same_v<T, int64_t>) return dtype == DType::int64;
  else return dtype == DType::boolean;
}

// One operand of a loop whose innermost stride is `stride`.
template <class T>
class Reader {
 public:
  Reader(const View& view, int64_t stride)
      : data_(static_cast<const char*>(view.data)),
        bytes_(sizeOf(dtypeOf(view))),
        stride_(stride),
        direct_(stride == 1 && isStoredAs<T>(dtypeOf(view))),
        load_(loadFunction<T>(dtypeOf(view))) {}

  bool direct() const { return direct_; }
  // Of a pointer from readStep: 0 when the operand is broadcast along the run.
  int64_t step() const { return stride_ == 0 ? 0 : 1; }

  // n values, in the operand's own memory where possible, else in `buffer`.
  const T* read(int64_t offset, int64_t n, T* buffer) const {
    const char* source = data_ + offset * bytes_;
    if (direct_) return reinterpret_cast<const T*>(source);
    load_(source, stride_, n, buffer);
    return buffer;
  }
  // The same, but one value where the operand is broadcast.
  const T* readStep(int64_t offset, int64_t n, T* buffer) const { return read(offset, stride_ == 0 ? 1 : n, buffer); }
  T readOne(int64_t offset) const {
    T value;
    load_(data_ + offset * bytes_, 1, 1, &value);
    return value;
  }

 private:
  const char* data_;
  int64_t bytes_, stride_;
  bool direct_;
  Load<T> load_;
};

// Whether a result goes past the caches: not where an operand lies in the same memory, which has just been read into them.
template <class... Operands>
bool writesPast(const View& out, const Operands&... operands) {
  const bool inPlace = ((operands.data == out.data) || ...);
  return !inPlace && bypassesCaches(elementCount(out) * sizeOf(dtypeOf(out)));
}

// One result of a loop. With `past`, where its layout allows, it is written past the caches; finishBypass is the caller's.
template <class T>
class Writer {
 public:
  Writer(const View& view, int64_t stride, bool past = false)
      : data_(static_cast<char*>(view.data)),
        bytes_(sizeOf(dtypeOf(view))),
        stride_(stride),
        direct_(stride == 1 && isStoredAs<T>(dtypeOf(view))),
        past_(direct_ && past),
        store_(storeFunction<T>(dtypeOf(view))) {}

  // Whether target is the result's own memory.
  bool direct() const { return direct_ && !past_; }
  bool past() const { return past_; }
  // Where to compute n values to; then `write` brings them to their place.
  T* target(int64_t offset, T* buffer) const { return direct() ? reinterpret_cast<T*>(data_ + offset * bytes_) : buffer; }
  void write(int64_t offset, int64_t n, const T* buffer) const {
    if (past_) copyPastCaches(data_ + offset * bytes_, buffer, n * bytes_);
    else if (!direct_) store_(buffer, n, data_ + offset * bytes_, stride_);
  }
  void writeOne(int64_t offset, T value) const { store_(&value, 1, data_ + offset * bytes_, 1); }

 private:
  char* data_;
  int64_t bytes_, stride_;
  bool direct_, past_;
  Store<T> store_;
};

}  // namespace quanto::cpu
