#include "conv_tile_body.h"

namespace quanto::cpu {
namespace {

template <class Sum>
Sum joinHalves(const uint32_t* low, const uint32_t* high) {
  const uint32_t both[] = {low[0], low[1], high[0], high[1]};
  return load<Sum>(both);
}

struct FloatTraits {
  static constexpr int kLanes = 4, kPerElement = 1, kRows = 2, kVectors = 3;
  static constexpr bool kFused = false;
  static Vectors<kLanes>::Float fma(Vectors<kLanes>::Float a, Vectors<kLanes>::Float b, Vectors<kLanes>::Float c) { return a * b + c; }
  using Sum = Vectors<kLanes>::Float;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) {
    float value;
    __builtin_memcpy(&value, weight, sizeof value);
    return broadcast<Sum>(value);
  }
  static Sum join(const uint32_t* low, const uint32_t* high) { return joinHalves<Sum>(low, high); }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return sum + weight * values; }
};

struct Int8Traits {
  static constexpr int kLanes = 4, kPerElement = 2, kRows = 2, kVectors = 2;
  static constexpr bool kFused = false;
  static Vectors<kLanes>::Float fma(Vectors<kLanes>::Float a, Vectors<kLanes>::Float b, Vectors<kLanes>::Float c) { return a * b + c; }
  using Sum = Vectors<kLanes>::Int;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) { return broadcast<Sum>(static_cast<int32_t>(*weight)); }
  static Sum join(const uint32_t* low, const uint32_t* high) { return joinHalves<Sum>(low, high); }
  // The low and high halves of both, with their signs.
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) {
    return sum + (weight << 16 >> 16) * (values << 16 >> 16) + (weight >> 16) * (values >> 16);
  }
};

}  // namespace

constinit const ConvKernel kConvFloatRef = makeConvKernel<FloatTraits>("ref");
constinit const ConvKernel kConvInt8Ref = makeConvKernel<Int8Traits>("ref");

}  // namespace quanto::cpu
