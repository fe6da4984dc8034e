#include "conv_tile_body.h"

namespace quanto::cpu {
namespace {

template <class Sum>
Sum joinHalves(const uint32_t* low, const uint32_t* high) {
  const uint32_t both[] = {low[0], low[1], high[0], high[1]};
  return load<Sum>(both);
}

struct CommonTraits {
  static constexpr int kLanes = 4;
  static constexpr bool kFuses = false;
  using Float = Vectors<kLanes>::Float;
  using Int = Vectors<kLanes>::Int;
  using Codes = Vectors<kLanes>::Codes;
  static Codes narrow(Int x) { return __builtin_convertvector(x, Codes); }
  static Int widen(Codes x) { return __builtin_convertvector(x, Int); }
  static Float max(Float a, Float b) { return a > b ? a : b; }
};

struct FloatTraits : CommonTraits {
  static constexpr int kPerElement = 1, kRows = 2, kVectors = 3;
  using Sum = Float;
  static Sum startOf(const int32_t*, int) { return Sum{}; }
  static Sum weightOf(const uint32_t* weight) {
    float value;
    __builtin_memcpy(&value, weight, sizeof value);
    return broadcast<Sum>(value);
  }
  static Sum join(const uint32_t* low, const uint32_t* high) { return joinHalves<Sum>(low, high); }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return sum + weight * values; }
};

struct Int8Traits : CommonTraits {
  static constexpr int kPerElement = 2, kRows = 2, kVectors = 2;
  using Sum = Int;
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
