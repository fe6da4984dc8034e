// One element in and out of the two forms that kernels compute in: float32 for real dtypes, int64 for the others.
#pragma once

#include <type_traits>

#include "device.h"

namespace quanto::cuda {

QUANTO_DEVICE inline float infinity() { return floatOf(0x7f800000u); }

inline DType dtypeOf(const View& view) { return static_cast<DType>(view.dtype); }

QUANTO_DEVICE inline float halfToFloat(uint16_t bits) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#else
  return toFloat<DType::float16>(bits);
#endif
}

QUANTO_DEVICE inline uint16_t halfOf(float value) {
#if defined(__CUDA_ARCH__)
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  return fromFloat<DType::float16>(value);
#endif
}

// Truncates and saturates; NaN gives 0.
QUANTO_HOST_DEVICE inline int64_t toInteger(double value) {
  constexpr double kEnd = 9223372036854775808.0;
  if (value != value) return 0;
  if (value >= kEnd) return INT64_MAX;
  if (value < -kEnd) return INT64_MIN;
  return static_cast<int64_t>(value);
}

template <class T>
inline constexpr bool isFloat = std::is_same_v<T, float>;

template <DType dtype, class T>
QUANTO_DEVICE inline T convertIn(typename StorageOf<dtype>::type value) {
  constexpr bool real = info(dtype).kind == Kind::real;
  if constexpr (isFloat<T> && dtype == DType::float16) return halfToFloat(value);
  else if constexpr (isFloat<T>) return toFloat<dtype>(value);
  else if constexpr (std::is_same_v<T, uint8_t>) return real ? toFloat<dtype>(value) != 0 : value != 0;
  else if constexpr (real) return fromFloat<DType::int64>(toFloat<dtype>(value));
  else return static_cast<T>(value);
}

template <DType dtype, class T>
QUANTO_DEVICE inline typename StorageOf<dtype>::type convertOut(T value) {
  using Storage = typename StorageOf<dtype>::type;
  if constexpr (dtype == DType::boolean) return value != 0;
  else if constexpr (dtype == DType::float16) return halfOf(static_cast<float>(value));
  else if constexpr (isFloat<T> || info(dtype).kind == Kind::real) return fromFloat<dtype>(static_cast<float>(value));
  else return static_cast<Storage>(value);  // integers wrap
}

// T is float, int64_t or uint8_t (booleans as 0 and 1). All threads of a launch take the same branch.
template <class T>
QUANTO_DEVICE inline T load(const void* data, DType dtype, int64_t i) {
  switch (dtype) {
#define DTYPE(id, ...) \
  case DType::id:      \
    return convertIn<DType::id, T>(static_cast<const StorageOf<DType::id>::type*>(data)[i]);
#include "../csrc/dtypes.def"
#undef DTYPE
  }
  return T{};
}

template <class T>
QUANTO_DEVICE inline void store(void* data, DType dtype, int64_t i, T value) {
  switch (dtype) {
#define DTYPE(id, ...)                                                                   \
  case DType::id:                                                                        \
    static_cast<StorageOf<DType::id>::type*>(data)[i] = convertOut<DType::id, T>(value); \
    break;
#include "../csrc/dtypes.def"
#undef DTYPE
  }
}

// The value that storing and loading again would give.
QUANTO_DEVICE inline float rounded(float value, DType dtype) {
  uint64_t memory;
  store(&memory, dtype, 0, value);
  return load<float>(&memory, dtype, 0);
}

// An operand as kernels take it.
struct Operand {
  void* data;
  DType dtype;
  Operand() = default;
  explicit Operand(const View& view) : data(view.data), dtype(dtypeOf(view)) {}
  explicit Operand(const View* view) : data(view ? view->data : nullptr), dtype(view ? dtypeOf(*view) : DType::float32) {}
  template <class T = float>
  QUANTO_DEVICE T get(int64_t i) const {
    return load<T>(data, dtype, i);
  }
  template <class T>
  QUANTO_DEVICE void set(int64_t i, T value) const {
    store(data, dtype, i, value);
  }
  QUANTO_DEVICE bool given() const { return data != nullptr; }
};

template <int64_t bytes>
using BitsOf =
    std::conditional_t<bytes == 1, uint8_t, std::conditional_t<bytes == 2, uint16_t, std::conditional_t<bytes == 4, uint32_t, uint64_t>>>;

QUANTO_DEVICE inline void moveElement(void* to, int64_t at, const void* from, int64_t place, int bytes) {
  switch (bytes) {
    case 1:
      static_cast<uint8_t*>(to)[at] = static_cast<const uint8_t*>(from)[place];
      break;
    case 2:
      static_cast<uint16_t*>(to)[at] = static_cast<const uint16_t*>(from)[place];
      break;
    case 4:
      static_cast<uint32_t*>(to)[at] = static_cast<const uint32_t*>(from)[place];
      break;
    default:
      static_cast<uint64_t*>(to)[at] = static_cast<const uint64_t*>(from)[place];
      break;
  }
}

inline int elementBytes(const View& view) { return static_cast<int>(sizeOf(dtypeOf(view))); }

}  // namespace quanto::cuda
