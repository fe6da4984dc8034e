// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes, and codes of few bits are unsigned as they are.
#include <immintrin.h>

#include "weight_bits_loops.h"

namespace quanto::cpu {
namespace {

struct Traits {
  using Vector = __m512;
  using Sums = __m512i;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const float* in) { return _mm512_loadu_ps(in); }
  static void store(float* out, Vector value) { _mm512_storeu_ps(out, value); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector all(float value) { return _mm512_set1_ps(value); }
  // Product and difference are rounded each.
  static Vector affine(Vector scale, Vector code, Vector shift) { return _mm512_sub_ps(_mm512_mul_ps(scale, code), shift); }
  static Sums begin(int32_t value) { return _mm512_set1_epi32(value); }
  static Sums dot(Sums sums, __m512i codes, const int8_t* four) {
    // The broadcast as part of the instruction, which the compiler makes another one.
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sums) : "v"(codes), "m"(*reinterpret_cast<const char(*)[4]>(four)));
    return sums;
  }
  static Vector toFloat(Sums sums) { return _mm512_cvtepi32_ps(sums); }
};

template <BitsCode code>
struct Parts {
  __m512i vector;

  explicit Parts(const uint8_t* in)
      : vector(_mm512_xor_si512(_mm512_loadu_si512(in), _mm512_set1_epi32(static_cast<int>(bitsSigns(code))))) {}
  __m512i part(int index) const {
    return _mm512_and_si512(_mm512_srli_epi32(vector, static_cast<unsigned>(bitsOf(code) * index)),
                            _mm512_set1_epi32(static_cast<int>(bitsPartMask(code))));
  }
};

// Two panels side by side, which share the broadcasts of a: loads are what the products wait for.
template <BitsCode code, int rows>
void multiplyPair(const BitsIntegerRows& product) {
  constexpr int kPanels = 2, kParts = bitsParts(code);
  const int64_t vectors = (product.groupSize + bitsValues(code) - 1) / bitsValues(code);
  __m512 totals[rows][kPanels];
  for (auto& row : totals) {
    for (auto& total : row) total = _mm512_setzero_ps();
  }
  const uint8_t* codes = product.codes;
  const int8_t* a = product.a;
  const float *scale = product.scale, *shift = product.shift, *aSums = product.aSums;
  const int32_t* centring = product.centring;
  for (int64_t group = product.groups; group > 0; --group) {
    __m512i sums[rows][kPanels];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = _mm512_set1_epi32(centring[i]);
    for (int64_t v = vectors; v > 0; --v, codes += kBitsVector, a += kParts * rows * 4) {
      __builtin_prefetch(codes + kBitsAhead);
      __builtin_prefetch(codes + product.panelBytes + kBitsAhead);
      const Parts<code> first(codes), second(codes + product.panelBytes);
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const __m512i left = first.part(part), right = second.part(part);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
          int32_t four;
          __builtin_memcpy(&four, a + (part * rows + i) * 4, 4);
          const __m512i values = _mm512_set1_epi32(four);
          sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], left, values);
          sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], right, values);
        }
      }
    }
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const __m512 factor = _mm512_loadu_ps(scale + p * product.panelNumbers);
      const __m512 offset = Traits::affine(factor, Traits::all(bitsCenter(code)), _mm512_loadu_ps(shift + p * product.panelNumbers));
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        totals[i][p] = _mm512_add_ps(totals[i][p], _mm512_mul_ps(factor, Traits::toFloat(sums[i][p])));
        totals[i][p] = _mm512_add_ps(totals[i][p], _mm512_mul_ps(offset, _mm512_set1_ps(aSums[i])));
      }
    }
    scale += kBitsColumns;
    shift += kBitsColumns;
    aSums += rows;
    centring += rows;
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      __m512 value = _mm512_mul_ps(totals[i][p], _mm512_set1_ps(product.rowScale[i]));
      if (product.bias) value = _mm512_add_ps(value, _mm512_loadu_ps(product.bias + p * kBitsColumns));
      _mm512_storeu_ps(product.c + i * product.cStride + p * kBitsColumns, value);
    }
  }
}

template <BitsCode code>
constexpr void (*kPairs[])(const BitsIntegerRows&) = {multiplyPair<code, 1>, multiplyPair<code, 2>, multiplyPair<code, 3>,
                                                      multiplyPair<code, 4>, multiplyPair<code, 5>, multiplyPair<code, 6>};
constexpr int kPairRows = 6;

void multiplyPairs(int rows, const BitsIntegerRows& product) {
  (product.code == BitsCode::int2 ? kPairs<BitsCode::int2> : kPairs<BitsCode::int4>)[rows - 1](product);
}

}  // namespace

void multiplyBitsVnni(int rows, const BitsIntegerRows& product) { multiplyAny<Parts, Traits, kMaxBitsRows>(rows, product); }

const BitsKernel kBitsVnni = {
    .name = "vnni",
    .skinny = 32,
    .rows = kMaxBitsRows,
    .stream = streamBitsAvx512,
    .unpack = unpackBitsAvx512,
    .multiply = multiplyBitsVnni,
    .pairRows = kPairRows,
    .multiplyPair = multiplyPairs,
    .tiles = nullptr,
};

}  // namespace quanto::cpu
