#include "elements.h"

#include "gemm/kernels.h"
#include "row_loops.h"

namespace quanto::cpu {
namespace {

template <DType dtype, class T>
T convertIn(typename StorageOf<dtype>::type value) {
  constexpr bool real = info(dtype).kind == Kind::real;
  if constexpr (std::is_same_v<T, float>) return toFloat<dtype>(value);
  else if constexpr (std::is_same_v<T, uint8_t>) return real ? toFloat<dtype>(value) != 0 : value != 0;
  else if constexpr (real) return fromFloat<DType::int64>(toFloat<dtype>(value));
  else return static_cast<T>(value);
}

template <DType dtype, class T>
typename StorageOf<dtype>::type convertOut(T value) {
  using Storage = typename StorageOf<dtype>::type;
  if constexpr (dtype == DType::boolean) return value != 0;
  else if constexpr (std::is_same_v<T, float> || info(dtype).kind == Kind::real) return fromFloat<dtype>(static_cast<float>(value));
  else return static_cast<Storage>(value);  // integers wrap
}

template <DType dtype, class T>
void load(const void* source, int64_t stride, int64_t n, T* buffer) {
  const auto* values = static_cast<const typename StorageOf<dtype>::type*>(source);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) buffer[i] = convertIn<dtype, T>(values[i]);
  } else if (stride == 0) {
    const T value = convertIn<dtype, T>(*values);
    for (int64_t i = 0; i < n; ++i) buffer[i] = value;
  } else {
    for (int64_t i = 0; i < n; ++i) buffer[i] = convertIn<dtype, T>(values[i * stride]);
  }
}

// float16 has conversions in hardware.
void loadFloat16(const void* source, int64_t stride, int64_t n, float* buffer) {
  const auto widen = stride == 1 ? floatKernel().widenFloat16 : nullptr;
  if (widen) widen(n, static_cast<const uint16_t*>(source), buffer);
  else load<DType::float16, float>(source, stride, n, buffer);
}

// Codes have loops for each instruction set.
template <DType dtype>
void loadCodes(const void* source, int64_t stride, int64_t n, float* buffer) {
  if (stride != 1) {
    load<dtype, float>(source, stride, n, buffer);
  } else if constexpr (dtype == DType::int8) {
    rowLoops().widenInt8(static_cast<const int8_t*>(source), buffer, n);
  } else {
    rowLoops().widenUint8(static_cast<const uint8_t*>(source), buffer, n);
  }
}

template <DType dtype, class T>
void store(const T* buffer, int64_t n, void* target, int64_t stride) {
  auto* values = static_cast<typename StorageOf<dtype>::type*>(target);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) values[i] = convertOut<dtype, T>(buffer[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) values[i * stride] = convertOut<dtype, T>(buffer[i]);
  }
}

void storeFloat16(const float* buffer, int64_t n, void* target, int64_t stride) {
  const auto narrow = stride == 1 ? floatKernel().narrowFloat16 : nullptr;
  if (narrow) narrow(n, buffer, static_cast<uint16_t*>(target));
  else store<DType::float16, float>(buffer, n, target, stride);
}

}  // namespace

template <class T>
Load<T> loadFunction(DType dtype) {
  static constexpr Load<T> kLoads[] = {
#define DTYPE(id, ...) load<DType::id, T>,
#include "../dtypes.def"
#undef DTYPE
  };
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::float16) return loadFloat16;
    if (dtype == DType::int8) return loadCodes<DType::int8>;
    if (dtype == DType::uint8) return loadCodes<DType::uint8>;
  }
  return kLoads[static_cast<int>(dtype)];
}

template <class T>
Store<T> storeFunction(DType dtype) {
  static constexpr Store<T> kStores[] = {
#define DTYPE(id, ...) store<DType::id, T>,
#include "../dtypes.def"
#undef DTYPE
  };
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::float16) return storeFloat16;
  }
  return kStores[static_cast<int>(dtype)];
}

template Load<float> loadFunction<float>(DType);
template Load<int64_t> loadFunction<int64_t>(DType);
template Load<uint8_t> loadFunction<uint8_t>(DType);
template Store<float> storeFunction<float>(DType);
template Store<int64_t> storeFunction<int64_t>(DType);
template Store<uint8_t> storeFunction<uint8_t>(DType);

}  // namespace quanto::cpu
