#include <immintrin.h>

#include "pack_int8.h"
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
  static Vector multiply(const Vector& a, const Vector& b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
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

// Products of codes with int8. A code is small, so vpmaddubsw is exact, and its 16 bits bear the sum of several.
struct Halves {
  __m256i low, high;
};

template <BitsCode code>
struct Parts {
  static constexpr int kBits = bitsOf(code), kParts = bitsParts(code);
  // Vectors whose products can be added up in 16 bits: each part adds two of at most code * 128.
  static constexpr int64_t kVectors = 32767 / (((1 << kBits) - 1) * 256 * kParts);
  static_assert(kVectors > 0);

  Halves vector;

  explicit Parts(const uint8_t* in) {
    const __m256i signs = _mm256_set1_epi32(static_cast<int>(bitsSigns(code)));
    const auto* halves = reinterpret_cast<const __m256i*>(in);
    vector = {_mm256_xor_si256(_mm256_loadu_si256(halves), signs), _mm256_xor_si256(_mm256_loadu_si256(halves + 1), signs)};
  }
  Halves part(int index) const {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(bitsPartMask(code)));
    return {_mm256_and_si256(_mm256_srli_epi32(vector.low, kBits * index), mask),
            _mm256_and_si256(_mm256_srli_epi32(vector.high, kBits * index), mask)};
  }
};

// Rows [first, first + rows) of the product.
template <BitsCode code, int rows>
void multiplyFew(const BitsIntegerRows& product, int first, int allRows) {
  using Codes = Parts<code>;
  const int64_t vectors = (product.groupSize + bitsValues(code) - 1) / bitsValues(code);
  const __m256i ones = _mm256_set1_epi16(1);
  Pair totals[rows];
  for (auto& total : totals) total = Traits::zero();
  const uint8_t* codes = product.codes;
  const int8_t* a = product.a + first * kGroup;
  for (int64_t group = 0; group < product.groups; ++group) {
    Halves sums[rows];
    for (int i = 0; i < rows; ++i) sums[i].low = sums[i].high = _mm256_set1_epi32(product.centring[group * allRows + first + i]);
    for (int64_t left = vectors; left > 0; left -= Codes::kVectors) {
      Halves words[rows];
      for (auto& word : words) word.low = word.high = _mm256_setzero_si256();
      const int64_t count = left < Codes::kVectors ? left : Codes::kVectors;
      for (int64_t v = 0; v < count; ++v, codes += kBitsVector) {
        const Codes vector(codes);
#pragma GCC unroll 4
        for (int part = 0; part < Codes::kParts; ++part, a += allRows * kGroup) {
          const Halves values = vector.part(part);
#pragma GCC unroll 4
          for (int i = 0; i < rows; ++i) {
            int32_t four;
            __builtin_memcpy(&four, a + i * kGroup, sizeof four);
            const __m256i factors = _mm256_set1_epi32(four);
            words[i].low = _mm256_add_epi16(words[i].low, _mm256_maddubs_epi16(values.low, factors));
            words[i].high = _mm256_add_epi16(words[i].high, _mm256_maddubs_epi16(values.high, factors));
          }
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        sums[i].low = _mm256_add_epi32(sums[i].low, _mm256_madd_epi16(words[i].low, ones));
        sums[i].high = _mm256_add_epi32(sums[i].high, _mm256_madd_epi16(words[i].high, ones));
      }
    }
    const Pair scale = Traits::load(product.scale + group * kBitsColumns);
    const Pair offset = Traits::affine(scale, Traits::all(bitsCenter(code)), Traits::load(product.shift + group * kBitsColumns));
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const Pair sum{_mm256_cvtepi32_ps(sums[i].low), _mm256_cvtepi32_ps(sums[i].high)};
      totals[i] = Traits::add(totals[i], Traits::multiply(scale, sum));
      totals[i] = Traits::add(totals[i], Traits::multiply(offset, Traits::all(product.aSums[group * allRows + first + i])));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) {
    Pair total = Traits::multiply(totals[i], Traits::all(product.rowScale[first + i]));
    if (product.bias) total = Traits::add(total, Traits::load(product.bias));
    Traits::store(product.c + (first + i) * product.cStride, total);
  }
}

// Rows whose sums in 16 bits fit in the registers beside the codes.
constexpr int kIntegerRows = 4;

template <BitsCode code>
void multiplyCode(int rows, const BitsIntegerRows& product) {
  constexpr void (*kMultiply[])(const BitsIntegerRows&, int, int) = {multiplyFew<code, 1>, multiplyFew<code, 2>, multiplyFew<code, 3>,
                                                                     multiplyFew<code, kIntegerRows>};
  for (int first = 0; first < rows; first += kIntegerRows) {
    const int left = rows - first;
    kMultiply[(left < kIntegerRows ? left : kIntegerRows) - 1](product, first, rows);
  }
}

constexpr int kRows = 4;
void stream(int rows, const BitsRows& product) { streamAny<Codes, Traits, kRows>(rows, product); }
void unpack(const BitsBlock& block) { unpackAny<Codes, Traits>(block); }

}  // namespace

void multiplyBitsAvx2(int rows, const BitsIntegerRows& product) {
  (product.code == BitsCode::int2 ? multiplyCode<BitsCode::int2> : multiplyCode<BitsCode::int4>)(rows, product);
}

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
