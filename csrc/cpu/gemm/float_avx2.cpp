#include <immintrin.h>

#include "float_convert_avx2.h"
#include "kernels.h"

namespace quanto::cpu {
namespace {

struct Vector {
  using Type = __m256;
  static constexpr int kLanes = 8, kDotColumns = 4;
  static Type zero() { return _mm256_setzero_ps(); }
  static Type broadcast(const float& value) { return _mm256_broadcast_ss(&value); }
  static Type load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Type value) { _mm256_storeu_ps(to, value); }
  static Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
  static Type mul(Type a, Type b) { return _mm256_mul_ps(a, b); }
  static Type fma(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static float sumLanes(Type value) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static void storeSums(float* c, const Type* sums, bool accumulate) {
    // Each half has the sums of its part of the four vectors.
    const __m256 parts = _mm256_hadd_ps(_mm256_hadd_ps(sums[0], sums[1]), _mm256_hadd_ps(sums[2], sums[3]));
    const __m128 all = _mm_add_ps(_mm256_castps256_ps128(parts), _mm256_extractf128_ps(parts, 1));
    _mm_storeu_ps(c, accumulate ? _mm_add_ps(_mm_loadu_ps(c), all) : all);
  }
  static void keepLoaded(Type& value) { __asm__("" : "+x"(value)); }
  static __m256i first(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Type loadFirst(const float* from, int64_t count) { return _mm256_maskload_ps(from, first(count)); }
  static void storeFirst(float* to, int64_t count, Type value) { _mm256_maskstore_ps(to, first(count), value); }
  struct Weights {
    Type of(const int8_t* groups, int p) const {
      const __m256i group = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(groups));
      return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(group, 24 - 8 * p), 24));
    }
  };
};

// 6 x 2 sums, 2 vectors of b and 1 of a: 15 of the 16 registers.
constexpr int kTileRows = 6, kTileVectors = 2;
// 3 x 4 sums, 3 vectors of a and 1 of b: all 16.
constexpr int kDotRows = 3;
constexpr int kFewRows = 2;
constexpr int kWideVectors[kFewRows] = {8, 4};
constexpr int kInt8Rows = 4, kInt8WideRows = 2;
constexpr int kSkinny = 8, kDotMost = 192;  // measured

}  // namespace
}  // namespace quanto::cpu

#include "float_body.h"

namespace quanto::cpu {

const FloatKernel kFloatAvx2 = {
    .name = "avx2",
    .rows = kTileRows,
    .columns = kTileColumns,
    .skinny = kSkinny,
    .dotRows = kDotMost,
    .tile = runTile,
    .dot = dot,
    .stream = stream,
    .streamInt8 = streamInt8,
    .widenInt8 = widenInt8Avx2,
    .transpose = transposeAvx2,
    .widenFloat16 = widenFloat16Avx2,
    .narrowFloat16 = narrowFloat16Avx2,
};

}  // namespace quanto::cpu
