#include <immintrin.h>

#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

// 16 columns in two registers.
struct Pair {
  __m256 low, high;
};

struct Traits {
  using Vector = Pair;
  static constexpr int kSums = 4;  // that fit in the registers beside the totals
  static Vector zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vector load(const float* in) { return {_mm256_loadu_ps(in), _mm256_loadu_ps(in + 8)}; }
  static void store(float* out, const Vector& value) {
    _mm256_storeu_ps(out, value.low);
    _mm256_storeu_ps(out + 8, value.high);
  }
  static Vector all(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static Vector add(const Vector& a, const Vector& b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static Vector fused(const Vector& a, const Vector& b, const Vector& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static Vector multiplyAdd(float a, const Vector& b, const Vector& c) {
    const __m256 factor = _mm256_set1_ps(a);
    return {_mm256_fmadd_ps(factor, b.low, c.low), _mm256_fmadd_ps(factor, b.high, c.high)};
  }
  // Product and difference are rounded each, as when dequantizing.
  static Vector affine(const Vector& scale, const Vector& code, const Vector& shift) {
    return {_mm256_sub_ps(_mm256_mul_ps(scale.low, code.low), shift.low), _mm256_sub_ps(_mm256_mul_ps(scale.high, code.high), shift.high)};
  }
};

// Of integers: a value is moved to the top of its 32 bits and back, which extends its sign.
template <BitsCode code>
struct Integers {
  static constexpr int kBits = bitsOf(code);
  __m256i low, high;

  explicit Integers(const uint8_t* in)
      : low(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in))), high(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(in) + 1)) {}
  struct Constants {};
  Pair centred(int place, const Constants& = {}) const {
    const auto extend = [&](__m256i half) __attribute__((always_inline)) {
      return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(half, 32 - kBits * (place + 1)), 32 - kBits));
    };
    return {extend(low), extend(high)};
  }
  Pair value(int place) const {
    const Pair values = centred(place);
    const __m256 center = _mm256_set1_ps(static_cast<float>(bitsCenter(code)));
    return {_mm256_add_ps(values.low, center), _mm256_add_ps(values.high, center)};
  }
};

// Of float8: 16 values at a place, moved to float16 by bits.
template <BitsCode code>
struct Codes {
  const uint8_t* vector;

  explicit Codes(const uint8_t* in) : vector(in) {}
  struct Constants {};
  Pair centred(int place, const Constants& = {}) const {
    const __m256i bytes = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(vector) + place));
    __m256i words;
    if (code == BitsCode::e5m2) {
      words = _mm256_slli_epi16(bytes, 8);
    } else {
      // The sign of a code was extended over the exponent's highest bit.
      words = _mm256_and_si256(_mm256_slli_epi16(bytes, 7), _mm256_set1_epi16(static_cast<short>(0xbfff)));
      const __m256i tested = code == BitsCode::e4m3fn ? _mm256_and_si256(words, _mm256_set1_epi16(0x3f80)) : words;
      const __m256i nan = _mm256_set1_epi16(static_cast<short>(code == BitsCode::e4m3fn ? 0x3f80 : 0x8000));
      words = _mm256_blendv_epi8(words, _mm256_set1_epi16(0x7e00), _mm256_cmpeq_epi16(tested, nan));
    }
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(words)), _mm256_cvtph_ps(_mm256_extracti128_si256(words, 1))};
  }
  Pair value(int place) const {
    const Pair values = centred(place);
    const __m256 factor = _mm256_set1_ps(float8Factor(code));
    return {_mm256_mul_ps(values.low, factor), _mm256_mul_ps(values.high, factor)};
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

// Codes of at most 15 times int8 fit in 16 bits two by two, so vpmaddubsw is exact.
struct IntegerTraits : Traits {
  struct Sums {
    __m256i low, high;
  };
  static Vector multiply(const Vector& a, const Vector& b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static Sums begin(int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }
  static Sums dot(const Sums& sums, const Sums& codes, const int8_t* four) {
    int32_t values;
    __builtin_memcpy(&values, four, 4);
    const __m256i factors = _mm256_set1_epi32(values), ones = _mm256_set1_epi16(1);
    return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.low, factors), ones)),
            _mm256_add_epi32(sums.high, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.high, factors), ones))};
  }
  static Vector toFloat(const Sums& sums) { return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)}; }
};

template <BitsCode code>
struct Parts {
  IntegerTraits::Sums vector;

  explicit Parts(const uint8_t* in) {
    const __m256i signs = _mm256_set1_epi32(static_cast<int>(bitsSigns(code)));
    const auto* halves = reinterpret_cast<const __m256i*>(in);
    vector = {_mm256_xor_si256(_mm256_loadu_si256(halves), signs), _mm256_xor_si256(_mm256_loadu_si256(halves + 1), signs)};
  }
  IntegerTraits::Sums part(int index) const {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(bitsPartMask(code)));
    return {_mm256_and_si256(_mm256_srli_epi32(vector.low, bitsOf(code) * index), mask),
            _mm256_and_si256(_mm256_srli_epi32(vector.high, bitsOf(code) * index), mask)};
  }
};

constexpr int kRows = 4;
void stream(int rows, const BitsRows& product) { streamAny<Codes, Traits, kRows>(rows, product); }
void unpack(const BitsBlock& block) { unpackAny<Codes, Traits>(block); }

}  // namespace

void multiplyBitsAvx2(int rows, const BitsIntegerRows& product) { multiplyAny<Parts, IntegerTraits, kMaxBitsRows>(rows, product); }

const BitsKernel kBitsAvx2 = {
    .name = "avx2",
    .skinny = 8,
    .rows = kRows,
    .stream = stream,
    .unpack = unpack,
    .multiply = multiplyBitsAvx2,
    .pairRows = 0,
    .multiplyPair = nullptr,
    .tiles = nullptr,
};

}  // namespace quanto::cpu
