// Element types: sizes, names, and the conversions between float32 and the narrow floats, all rounding to nearest even.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define QUANTO_HOST_DEVICE __host__ __device__
#else
#define QUANTO_HOST_DEVICE
#endif

namespace quanto {

enum class DType : int32_t {
#define DTYPE(id, ...) id,
#include "dtypes.def"
#undef DTYPE
};

enum class Kind : int32_t { real, integer, boolean };

struct DTypeInfo {
  const char* name;
  int32_t bytes;
  Kind kind;
  const char* typedArray;
};

inline constexpr DTypeInfo kDTypes[] = {
#define DTYPE(id, name, type, bytes, kind, array) {name, bytes, Kind::kind, array},
#include "dtypes.def"
#undef DTYPE
};
inline constexpr int kDTypeCount = sizeof(kDTypes) / sizeof(kDTypes[0]);

constexpr const DTypeInfo& info(DType dtype) { return kDTypes[static_cast<int>(dtype)]; }
constexpr int64_t sizeOf(DType dtype) { return info(dtype).bytes; }
constexpr bool isReal(DType dtype) { return info(dtype).kind == Kind::real; }
constexpr bool isInteger(DType dtype) { return info(dtype).kind == Kind::integer; }

template <DType dtype>
struct StorageOf;
#define DTYPE(id, name, type_, ...) \
  template <>                       \
  struct StorageOf<DType::id> {     \
    using type = type_;             \
  };
#include "dtypes.def"
#undef DTYPE

QUANTO_HOST_DEVICE inline uint32_t bitsOf(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}
QUANTO_HOST_DEVICE inline float floatOf(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

// How a narrow float is laid out, and what happens past its largest value.
enum class Overflow { toInfinity, saturate };
struct FloatFormat {
  int exponentBits, mantissaBits, bias;
  bool hasInfinity;   // the top exponent is kept for infinity and NaN (IEEE)
  bool unsignedZero;  // "fnuz": no -0; its code is the only NaN
  Overflow overflow;
};
inline constexpr FloatFormat kFloat16{5, 10, 15, true, false, Overflow::toInfinity};
inline constexpr FloatFormat kFloat8E4m3fn{4, 3, 7, false, false, Overflow::saturate};
inline constexpr FloatFormat kFloat8E4m3fnuz{4, 3, 8, false, true, Overflow::saturate};
inline constexpr FloatFormat kFloat8E5m2{5, 2, 15, true, false, Overflow::saturate};

// Encodes with one rounding, to nearest even; subnormals of the target included. float8 saturates finite values and infinities
// alike, as a quantizer wants.
template <FloatFormat const& format>
QUANTO_HOST_DEVICE inline uint32_t encodeFloat(float value) {
  constexpr int mantissa = format.mantissaBits, width = format.exponentBits + mantissa;
  constexpr uint32_t signBit = 1u << width, exponentMask = ((1u << format.exponentBits) - 1) << mantissa;
  constexpr uint32_t nan = format.unsignedZero ? signBit : format.hasInfinity ? exponentMask | (1u << (mantissa - 1)) : signBit - 1;
  constexpr uint32_t largest = format.hasInfinity ? exponentMask - 1 : format.unsignedZero ? signBit - 1 : signBit - 2;
  const uint32_t bits = bitsOf(value), magnitude = bits & 0x7fffffffu;
  const uint32_t sign = bits >> 31 ? signBit : 0;
  if (magnitude > 0x7f800000u) return format.unsignedZero ? nan : sign | nan;
  int exponent = static_cast<int>(magnitude >> 23) - 127 + format.bias;
  uint32_t code;
  if (exponent >= 1) {
    // Rounding may carry into the exponent, which is the right answer.
    const int drop = 23 - mantissa;
    const uint64_t rebased = (static_cast<uint64_t>(exponent) << 23) | (magnitude & 0x7fffffu);
    code = static_cast<uint32_t>((rebased + ((1u << (drop - 1)) - 1) + ((rebased >> drop) & 1)) >> drop);
    if (exponent > 300 || code > largest) {
      const bool infinite = format.hasInfinity && format.overflow == Overflow::toInfinity;
      code = infinite ? exponentMask : largest;
    }
  } else {
    const int shift = 24 - mantissa - exponent;
    if (shift > 25) {
      code = 0;
    } else {
      const uint32_t full = (magnitude & 0x7fffffu) | (magnitude >> 23 ? 0x800000u : 0);
      code = (full + ((1u << (shift - 1)) - 1) + ((full >> shift) & 1)) >> shift;
    }
  }
  if (format.unsignedZero && code == 0) return 0;
  return sign | code;
}

template <FloatFormat const& format>
QUANTO_HOST_DEVICE inline float decodeFloat(uint32_t code) {
  constexpr int mantissa = format.mantissaBits, width = format.exponentBits + mantissa;
  constexpr uint32_t signBit = 1u << width, topExponent = (1u << format.exponentBits) - 1;
  const uint32_t sign = (code & signBit) ? 0x80000000u : 0;
  const uint32_t exponent = (code >> mantissa) & topExponent, fraction = code & ((1u << mantissa) - 1);
  if (format.unsignedZero && code == signBit) return floatOf(0x7fc00000u);
  if (format.hasInfinity && exponent == topExponent) return floatOf(sign | 0x7f800000u | (fraction << (23 - mantissa)));
  if (!format.hasInfinity && !format.unsignedZero && (code & (signBit - 1)) == signBit - 1) return floatOf(sign | 0x7fc00000u);
  if (exponent == 0) {
    // fraction * 2^(1 - bias - mantissa), exact in float32
    const float unit = floatOf(static_cast<uint32_t>(127 + 1 - format.bias - mantissa) << 23);
    const float value = static_cast<float>(fraction) * unit;
    return sign ? -value : value;
  }
  return floatOf(sign | ((exponent + 127 - format.bias) << 23) | (fraction << (23 - mantissa)));
}

QUANTO_HOST_DEVICE inline uint16_t encodeBfloat16(float value) {
  const uint32_t bits = bitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// One element of each dtype from and to float32.
template <DType dtype>
QUANTO_HOST_DEVICE inline float toFloat(typename StorageOf<dtype>::type value) {
  if constexpr (dtype == DType::float16) return decodeFloat<kFloat16>(value);
  else if constexpr (dtype == DType::bfloat16) return floatOf(static_cast<uint32_t>(value) << 16);
  else if constexpr (dtype == DType::float8_e4m3fn) return decodeFloat<kFloat8E4m3fn>(value);
  else if constexpr (dtype == DType::float8_e4m3fnuz) return decodeFloat<kFloat8E4m3fnuz>(value);
  else if constexpr (dtype == DType::float8_e5m2) return decodeFloat<kFloat8E5m2>(value);
  else return static_cast<float>(value);
}
template <DType dtype>
QUANTO_HOST_DEVICE inline typename StorageOf<dtype>::type fromFloat(float value) {
  using T = typename StorageOf<dtype>::type;
  if constexpr (dtype == DType::float32) return value;
  else if constexpr (dtype == DType::float16) return static_cast<T>(encodeFloat<kFloat16>(value));
  else if constexpr (dtype == DType::bfloat16) return encodeBfloat16(value);
  else if constexpr (dtype == DType::float8_e4m3fn) return static_cast<T>(encodeFloat<kFloat8E4m3fn>(value));
  else if constexpr (dtype == DType::float8_e4m3fnuz) return static_cast<T>(encodeFloat<kFloat8E4m3fnuz>(value));
  else if constexpr (dtype == DType::float8_e5m2) return static_cast<T>(encodeFloat<kFloat8E5m2>(value));
  else if constexpr (dtype == DType::boolean) return value != 0;
  else {
    // Saturating, and NaN gives 0: a C cast out of range is undefined. The bounds are the floats next to the type's limits.
    constexpr T low = static_cast<T>(static_cast<T>(-1) < 0 ? T(1) << (sizeof(T) * 8 - 1) : 0), high = static_cast<T>(~low);
    if (value != value) return 0;
    if (value <= static_cast<float>(low)) return low;
    if (value >= static_cast<float>(high)) return high;
    return static_cast<T>(value);
  }
}

}  // namespace quanto
