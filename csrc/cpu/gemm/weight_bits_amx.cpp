// Weights of few bits on AMX tiles, and the vector loops for few rows.
#include <immintrin.h>

#include "kernels.h"
#include "weight_bits_codes_512.h"
#include "weight_bits_tiles.h"

namespace quanto::cpu {
namespace {

// Codes as indices of a table sign extend them, 16 bytes at a time.
__m512i signed4(__m512i codes) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1)), codes);
}
__m512i signed2(__m512i codes) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1, 0, 1, -2, -1)), codes);
}

void store(int8_t* out, int64_t group, __m512i values) { _mm512_storeu_si512(out + group * kBitsVector, values); }

// The lower, or the upper, words of each pair of double words: of two columns of a, then of two of b.
__m512i lowerWords(__m512i a, __m512i b) {
  return _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _MM_SHUFFLE(2, 0, 2, 0)));
}
__m512i upperWords(__m512i a, __m512i b) {
  return _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _MM_SHUFFLE(3, 1, 3, 1)));
}

// A column's 8 codes lie in 4 bytes, even ones in their lower halves.
void widenInt4(const uint8_t* codes, int8_t* out) {
  const __m512i packed = _mm512_loadu_si512(codes), mask = _mm512_set1_epi8(15);
  const __m512i even = signed4(_mm512_and_si512(packed, mask)), odd = signed4(_mm512_and_si512(_mm512_srli_epi16(packed, 4), mask));
  const __m512i first = _mm512_unpacklo_epi8(even, odd), second = _mm512_unpackhi_epi8(even, odd);
  store(out, 0, lowerWords(first, second));
  store(out, 1, upperWords(first, second));
}

// A column's 16 codes lie in 4 bytes, each of which holds 4 that follow each other.
void widenInt2(const uint8_t* codes, int8_t* out) {
  const __m512i packed = _mm512_loadu_si512(codes), mask = _mm512_set1_epi8(3);
  __m512i parts[4];
  for (int p = 0; p < 4; ++p) parts[p] = signed2(_mm512_and_si512(_mm512_srli_epi16(packed, static_cast<unsigned>(2 * p)), mask));
  const __m512i low01 = _mm512_unpacklo_epi8(parts[0], parts[1]), high01 = _mm512_unpackhi_epi8(parts[0], parts[1]);
  const __m512i low23 = _mm512_unpacklo_epi8(parts[2], parts[3]), high23 = _mm512_unpackhi_epi8(parts[2], parts[3]);
  // Of each quarter's four columns, one a register: the words of its 4 groups.
  const __m512i column0 = _mm512_unpacklo_epi16(low01, low23), column1 = _mm512_unpackhi_epi16(low01, low23);
  const __m512i column2 = _mm512_unpacklo_epi16(high01, high23), column3 = _mm512_unpackhi_epi16(high01, high23);
  const __m512i low0 = _mm512_unpacklo_epi32(column0, column1), high0 = _mm512_unpackhi_epi32(column0, column1);
  const __m512i low1 = _mm512_unpacklo_epi32(column2, column3), high1 = _mm512_unpackhi_epi32(column2, column3);
  store(out, 0, _mm512_unpacklo_epi64(low0, low1));
  store(out, 1, _mm512_unpackhi_epi64(low0, low1));
  store(out, 2, _mm512_unpacklo_epi64(high0, high1));
  store(out, 3, _mm512_unpackhi_epi64(high0, high1));
}

void widen(BitsCode code, int64_t vectors, const uint8_t* codes, int8_t* out) {
  const bool two = code == BitsCode::int2;
  for (int64_t v = 0; v < vectors; ++v, codes += kBitsVector, out += kBitsColumns * bitsValues(code)) {
    if (two) widenInt2(codes, out);
    else widenInt4(codes, out);
  }
}

// The low halves of float32 codes are zero: a pair of bfloat16 is the upper half of one beside that of the other.
template <BitsCode code>
void widenRealOf(int64_t vectors, const uint8_t* codes, uint16_t* out) {
  const typename Codes<code>::Constants constants;
  for (int64_t v = 0; v < vectors; ++v, codes += kBitsVector) {
    const Codes<code> vector(codes);
    for (int place = 0; place < bitsValues(code); place += 2, out += 2 * kBitsColumns) {
      const __m512i first = _mm512_srli_epi32(_mm512_castps_si512(vector.centred(place, constants)), 16);
      _mm512_storeu_si512(out, _mm512_or_si512(first, _mm512_castps_si512(vector.centred(place + 1, constants))));
    }
  }
}

void widenReal(BitsCode code, int64_t vectors, const uint8_t* codes, uint16_t* out) {
  switch (code) {
    case BitsCode::int2:
      return widenRealOf<BitsCode::int2>(vectors, codes, out);
    case BitsCode::int4:
      return widenRealOf<BitsCode::int4>(vectors, codes, out);
    case BitsCode::e4m3fn:
      return widenRealOf<BitsCode::e4m3fn>(vectors, codes, out);
    case BitsCode::e4m3fnuz:
      return widenRealOf<BitsCode::e4m3fnuz>(vectors, codes, out);
    case BitsCode::e5m2:
      return widenRealOf<BitsCode::e5m2>(vectors, codes, out);
  }
}

__m512 load(const float* sums) { return _mm512_loadu_ps(sums); }
__m512 load(const int32_t* sums) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(sums)); }

template <class Sum, bool shifted>
void accumulatePanel(const BitsSums<Sum>& sums, int panel) {
  constexpr int64_t kWidth = 2 * kBitsColumns;
  const __m512 scale = _mm512_loadu_ps(sums.scale + panel * sums.scaleStride);
  const __m512 offset = shifted ? _mm512_loadu_ps(sums.offset + panel * sums.scaleStride) : _mm512_setzero_ps();
  const Sum* row = sums.sums + panel * kBitsColumns;
  float* c = sums.c + panel * kBitsColumns;
  for (int64_t i = 0; i < sums.rows; ++i, row += kWidth, c += kWidth) {
    __m512 sum = _mm512_add_ps(_mm512_loadu_ps(c), _mm512_mul_ps(scale, load(row)));
    if (shifted) sum = _mm512_add_ps(sum, _mm512_mul_ps(offset, _mm512_set1_ps(sums.aSums[i * sums.aStride])));
    _mm512_storeu_ps(c, sum);
  }
}

template <class Sum>
void accumulate(const BitsSums<Sum>& sums) {
  for (int panel = 0; panel < sums.panels; ++panel) {
    if (sums.offset) accumulatePanel<Sum, true>(sums, panel);
    else accumulatePanel<Sum, false>(sums, panel);
  }
}

constexpr BitsTiles kTiles = {
    .kernel = &kInt8Amx,
    .widen = widen,
    .accumulate = accumulate<int32_t>,
    .widenReal = widenReal,
    .split = splitTerms,
    .tile = tileTerms,
    .accumulateReal = accumulate<float>,
    .multipliedSmall = 24,
    .multiplied = 8,
    .streamed = 6,
};

}  // namespace

const BitsKernel kBitsAmx = {
    .name = "amx",
    .skinny = 32,
    .rows = kMaxBitsRows,
    .stream = streamBitsAvx512,
    .unpack = unpackBitsAvx512,
    .multiply = multiplyBitsVnni,
    .pairRows = 0,
    .multiplyPair = nullptr,
    .tiles = &kTiles,
};

}  // namespace quanto::cpu
