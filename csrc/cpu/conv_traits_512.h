// What the tiles of 512 bits share, compiled anew in every instruction set's file; no C++ library header here.
#pragma once

#include <immintrin.h>

#include "conv_rows_body.h"

namespace quanto::cpu {
namespace {

struct CommonTraits {
  static constexpr int kLanes = 16;
  static constexpr bool kFuses = true;
  using Float = Vectors<kLanes>::Float;
  using Int = Vectors<kLanes>::Int;
  using Codes = Vectors<kLanes>::Codes;
  static Codes narrow(Int x) { return __builtin_convertvector(x, Codes); }
  static Int widen(Codes x) { return __builtin_convertvector(x, Int); }
  // The second operand where one is NaN.
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float subtractProduct(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }
  // Half to even; 0 for NaN.
  static Int roundEven(Float x) { return (Int)_mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x); }
};

}  // namespace
}  // namespace quanto::cpu
