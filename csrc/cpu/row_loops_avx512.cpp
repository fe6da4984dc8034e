// The shared loops, and by hand those that a quantized layer runs over each of its inputs, which the compiler leaves at a third of the
// speed.
#include <immintrin.h>

#include "row_loops_body.h"

namespace quanto::cpu {
namespace {

constexpr int64_t kLanes = 16;

// Of n - i values at most one vector.
__mmask16 lanesOf(int64_t left) { return static_cast<__mmask16>(left >= kLanes ? 0xffff : (1 << left) - 1); }

float absmax512(const float* x, int64_t n) {
  constexpr int kChains = 4;
  if (n == 0) return -__builtin_inff();
  const __m512 infinity = _mm512_set1_ps(__builtin_inff());
  __m512 maxima[kChains];
  for (auto& maximum : maxima) maximum = _mm512_setzero_ps();
  const auto take = [&](int chain, __m512 value) __attribute__((always_inline)) {
    const __m512 magnitude = _mm512_abs_ps(value);
    const __mmask16 finite = _mm512_cmp_ps_mask(magnitude, infinity, _CMP_LT_OQ);
    maxima[chain] = _mm512_mask_max_ps(maxima[chain], finite, maxima[chain], magnitude);
  };
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) take(chain, _mm512_loadu_ps(x + i + chain * kLanes));
  }
  for (; i < n; i += kLanes) take(0, _mm512_maskz_loadu_ps(lanesOf(n - i), x + i));
  return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(maxima[0], maxima[1]), _mm512_max_ps(maxima[2], maxima[3])));
}

// As encodeBy, with wider bounds: a NaN passes as the second operand.
struct Quotients {
  __m512 scale, reciprocal, low, high;

  explicit Quotients(float by)
      : scale(_mm512_set1_ps(by)), reciprocal(_mm512_set1_ps(1 / by)), low(_mm512_set1_ps(-1024 * by)), high(_mm512_set1_ps(1024 * by)) {}
  __m512i codes(__m512 x) const {
    x = _mm512_min_ps(high, _mm512_max_ps(low, x));
    const __m512 first = _mm512_mul_ps(x, reciprocal);
    const __m512 faithful = _mm512_fmadd_ps(_mm512_fnmadd_ps(first, scale, x), reciprocal, first);
    const __m512 correct = _mm512_fmadd_ps(_mm512_fnmadd_ps(faithful, scale, x), reciprocal, faithful);
    // Rounds half to even, which the environment is set to.
    return _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), correct);
  }
};

void quantizeInt8By512(const float* x, const float* scale, int64_t scaleStep, int8_t* codes, int64_t n) {
  if (scaleStep != 0 || !(*scale >= kSmallestScale && *scale <= kLargestScale)) {
    quantize<int8_t>(x, scale, scaleStep, codes, n);
    return;
  }
  const Quotients quotients(*scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + i), _mm512_cvtsepi32_epi8(quotients.codes(_mm512_loadu_ps(x + i))));
  if (i < n) {
    const __mmask16 lanes = lanesOf(n - i);
    _mm512_mask_cvtsepi32_storeu_epi8(codes + i, lanes, quotients.codes(_mm512_maskz_loadu_ps(lanes, x + i)));
  }
}

constexpr RowLoops makeRowLoops512() {
  RowLoops loops = makeRowLoops();
  loops.absmax = absmax512;
  loops.quantizeInt8 = quantizeInt8By512;
  return loops;
}

}  // namespace

constinit const RowLoops kRowLoopsAvx512 = makeRowLoops512();

}  // namespace quanto::cpu
