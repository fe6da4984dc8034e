#include "../../dtype.h"
#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

struct Sixteen {
  float at[kBitsColumns];
};

template <class Function>
inline Sixteen each(Function&& function) {
  Sixteen out;
  for (int j = 0; j < kBitsColumns; ++j) out.at[j] = function(j);
  return out;
}

struct Traits {
  using Vector = Sixteen;
  static constexpr int kSums = 4;
  static Vector zero() {
    return each([](int) { return 0.0f; });
  }
  static Vector load(const float* in) {
    return each([&](int j) { return in[j]; });
  }
  static void store(float* out, const Vector& value) {
    for (int j = 0; j < kBitsColumns; ++j) out[j] = value.at[j];
  }
  static Vector all(float value) {
    return each([&](int) { return value; });
  }
  static Vector add(const Vector& a, const Vector& b) {
    return each([&](int j) { return a.at[j] + b.at[j]; });
  }
  static Vector fused(const Vector& a, const Vector& b, const Vector& c) {
    return each([&](int j) { return a.at[j] * b.at[j] + c.at[j]; });
  }
  static Vector multiplyAdd(float a, const Vector& b, const Vector& c) {
    return each([&](int j) { return a * b.at[j] + c.at[j]; });
  }
  static Vector affine(const Vector& scale, const Vector& code, const Vector& shift) {
    return each([&](int j) { return scale.at[j] * code.at[j] - shift.at[j]; });
  }
};

template <BitsCode code>
struct Codes {
  const uint8_t* vector;

  explicit Codes(const uint8_t* in) : vector(in) {}
  Sixteen value(int place) const {
    return each([&](int j) -> float {
      const uint8_t byte = vector[place * kBitsColumns + j];
      if constexpr (code == BitsCode::e4m3fn) return toFloat<DType::float8_e4m3fn>(byte);
      else if constexpr (code == BitsCode::e4m3fnuz) return toFloat<DType::float8_e4m3fnuz>(byte);
      else return toFloat<DType::float8_e5m2>(byte);
    });
  }
  // The same power of two smaller as in the other instruction sets, whose sums are multiplied by it.
  struct Constants {};
  Sixteen centred(int place, const Constants& = {}) const {
    const Sixteen values = value(place);
    return each([&](int j) { return values.at[j] / float8Factor(code); });
  }
};

template <BitsCode code>
struct Integers {
  static constexpr int kBits = bitsOf(code);
  const uint8_t* vector;

  explicit Integers(const uint8_t* in) : vector(in) {}
  struct Constants {};
  Sixteen centred(int place, const Constants& = {}) const {
    return each([&](int j) {
      uint32_t column;
      __builtin_memcpy(&column, vector + j * 4, 4);
      return static_cast<float>(static_cast<int32_t>(column << (32 - kBits * (place + 1))) >> (32 - kBits));
    });
  }
  Sixteen value(int place) const {
    const Sixteen values = centred(place);
    return each([&](int j) { return values.at[j] + bitsCenter(code); });
  }
};
template <>
struct Codes<BitsCode::int4> : Integers<BitsCode::int4> {
  using Integers::Integers;
};
template <>
struct Codes<BitsCode::int2> : Integers<BitsCode::int2> {
  using Integers::Integers;
};

struct IntegerTraits : Traits {
  struct Sums {
    int32_t at[kBitsColumns];
  };
  static Vector multiply(const Vector& a, const Vector& b) {
    return each([&](int j) { return a.at[j] * b.at[j]; });
  }
  static Sums begin(int32_t value) {
    Sums sums;
    for (int32_t& sum : sums.at) sum = value;
    return sums;
  }
  static Sums dot(Sums sums, const uint8_t* codes, const int8_t* four) {
    for (int j = 0; j < kBitsColumns; ++j) {
      for (int b = 0; b < 4; ++b) sums.at[j] += codes[j * 4 + b] * four[b];
    }
    return sums;
  }
  static Vector toFloat(const Sums& sums) {
    return each([&](int j) { return static_cast<float>(sums.at[j]); });
  }
};

template <BitsCode code>
struct Parts {
  mutable uint8_t codes[kBitsVector];
  const uint8_t* vector;

  explicit Parts(const uint8_t* in) : vector(in) {}
  const uint8_t* part(int index) const {
    for (int i = 0; i < kBitsVector; ++i) {
      const auto byte = static_cast<uint8_t>(vector[i] ^ (bitsSigns(code) & 0xff));
      codes[i] = static_cast<uint8_t>((byte >> (bitsOf(code) * index)) & (bitsPartMask(code) & 0xff));
    }
    return codes;
  }
};

constexpr int kRows = 4;
void multiply(int rows, const BitsIntegerRows& product) { multiplyAny<Parts, IntegerTraits, kMaxBitsRows>(rows, product); }
void stream(int rows, const BitsRows& product) { streamAny<Codes, Traits, kRows>(rows, product); }
void unpack(const BitsBlock& block) { unpackAny<Codes, Traits>(block); }

}  // namespace

const BitsKernel kBitsRef = {
    .name = "ref",
    .skinny = 8,
    .rows = kRows,
    .stream = stream,
    .unpack = unpack,
    .multiply = multiply,
    .pairRows = 0,
    .multiplyPair = nullptr,
    .tiles = nullptr,
};

}  // namespace quanto::cpu
