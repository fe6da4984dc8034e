// The loops of attention_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "attention_loops.h"
#include "fold.h"
#include "gemm/pack_int8.h"
#include "vector_math.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

// Columns, or values of a row, taken at once.
constexpr int kStripColumns = 16;

void addMask(float* scores, const float* mask, int64_t count) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) scores[i] += mask[i];
}

void hideMasked(float* scores, const float* visible, int64_t count) {
  const float hidden = -__builtin_inff();
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) scores[i] = visible[i] == 0.0f ? hidden : scores[i];
}

void hideFrom(float* scores, int64_t begin, int64_t n, int64_t columns, const int32_t* limits) {
  const float hidden = -__builtin_inff();
  for (int32_t row = static_cast<int32_t>(begin); row < n; ++row) {
    float* x = scores + row * columns;
    QUANTO_VECTORIZE
    for (int64_t j = 0; j < columns; ++j) x[j] = row >= limits[j] ? hidden : x[j];
  }
}

inline float larger(float a, float b) { return a > b ? a : b; }

// The largest of each column and of what was largest before. NaN is no maximum, but its weight is NaN, and so are the sum and the result.
void largestOfRows(const float* scores, int64_t n, int64_t stride, const float* before, float* top) {
  for (int j = 0; j < kStripColumns; ++j) top[j] = before[j];
  int64_t row = 0;
  for (; row + 4 <= n; row += 4) {
    const float *x0 = scores + row * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) top[j] = larger(larger(larger(x0[j], x1[j]), larger(x2[j], x3[j])), top[j]);
  }
  for (; row < n; ++row) {
    const float* x = scores + row * stride;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) top[j] = larger(x[j], top[j]);
  }
}

void weighStrip(float* scores, int64_t n, int64_t columns, float* largest, float* sum, float* factor) {
  float top[kStripColumns], shift[kStripColumns], part[kStripColumns];
  largestOfRows(scores, n, columns, largest, top);
  QUANTO_VECTORIZE
  for (int j = 0; j < kStripColumns; ++j) {
    // A column of nothing but hidden keys keeps -infinity, which must not be subtracted from itself.
    shift[j] = top[j] == -__builtin_inff() ? 0.0f : top[j];
    factor[j] = math::expFlushed(largest[j] - shift[j]);
    largest[j] = top[j];
    part[j] = 0.0f;
  }
  for (int64_t row = 0; row < n; ++row) {
    float* x = scores + row * columns;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) {
      const float weight = math::expFlushed(x[j] - shift[j]);
      x[j] = weight;
      part[j] += weight;
    }
  }
  for (int j = 0; j < kStripColumns; ++j) sum[j] = sum[j] * factor[j] + part[j];
}

void weigh(float* scores, int64_t n, int64_t columns, float* largest, float* sum, float* factor) {
  for (int64_t j = 0; j < columns; j += kStripColumns) weighStrip(scores + j, n, columns, largest + j, sum + j, factor + j);
}

float weighRow(float* scores, int64_t n, float* largest, float* sum) {
  float lanes[kStripColumns];
  const float top = larger(largestNumber<same>(scores, n, [](const float*, int64_t) {}), *largest);
  const float shift = top == -__builtin_inff() ? 0.0f : top, factor = math::expFlushed(*largest - shift);

  int64_t i;
  QUANTO_VECTORIZE
  for (i = 0; i < n; ++i) scores[i] = math::expFlushed(scores[i] - shift);
  for (float& lane : lanes) lane = 0.0f;
  float part = 0.0f;
  for (i = 0; i + kStripColumns <= n; i += kStripColumns) {
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) lanes[j] += scores[i + j];
  }
  for (; i < n; ++i) part += scores[i];
  for (const float lane : lanes) part += lane;
  *largest = top;
  *sum = *sum * factor + part;
  return factor;
}

void scaleSums(const int32_t* sums, int64_t count, float factor, float* scores) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) scores[i] = static_cast<float>(sums[i]) * factor;
}

// Panels have as many columns as strips, and values three digits, whose sums of so many keys fit 31 bits.
static_assert(kStripColumns == kPanelColumns && kWeightDigits == 3 && kWeightedKeys <= 128);

// What weights are before their digits are taken apart: half a digit more at the two lower places carries into the place above, so that
// each byte is a digit, or a digit + 128.
constexpr uint32_t kHalves = 0x8080;

// Sums of a column: of the numbers, of those without the lowest digit, and of the highest digits; and the bits of the largest weight, which
// are those of NaN if there is one.
struct DigitSums {
  uint32_t all, upper, highest, largestBits;
};

inline uint32_t numberOf(float weight) {
  // Adding 2^23 rounds to a whole number, half to even, and leaves it in the low bits.
  constexpr float kPoint = 0x1p23f;
  constexpr uint32_t kPointBits = 0x4b000000u - kHalves;
  return math::bitsOf(math::fma(weight, kWeightOne, kPoint)) - kPointBits;
}

// The byte that lies `shift` bits up in each of four numbers below 2^24, one after another.
template <int shift>
inline uint32_t gather(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  constexpr auto move = [](uint32_t value, int bits) { return bits >= 0 ? value >> bits : value << -bits; };
  return (move(a, shift) & 0xffu) | (move(b, shift - 8) & 0xff00u) | (move(c, shift - 16) & 0xff0000u) |
         (move(d, shift - 24) & 0xff000000u);
}

// One group of four keys: adds up the numbers, with and without their lower digits, and puts the digits into their panels.
inline void putDigits(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t& all, uint32_t& upper, uint32_t& highest,
                      int32_t* const* panels, int64_t at) {
  constexpr uint32_t kFlipped = 0x80808080u;
  all += (a + b) + (c + d);
  upper += ((a >> 8) + (b >> 8)) + ((c >> 8) + (d >> 8));
  highest += ((a >> 16) + (b >> 16)) + ((c >> 16) + (d >> 16));
  panels[0][at] = static_cast<int32_t>(gather<16>(a, b, c, d));
  panels[1][at] = static_cast<int32_t>(gather<8>(a, b, c, d) ^ kFlipped);
  panels[2][at] = static_cast<int32_t>(gather<0>(a, b, c, d) ^ kFlipped);
}

// Ends a column of so many rows, padding included: the headers of its panels, and its step of the softmax.
inline void endColumn(int j, float top, const DigitSums& of, uint32_t rows, int32_t* const* headers, const OnlineSoftmax& state) {
  const float hidden = -__builtin_inff();
  headers[0][j] = static_cast<int32_t>(of.highest);
  headers[1][j] = static_cast<int32_t>(of.upper - 256u * of.highest - 128u * rows);
  headers[2][j] = static_cast<int32_t>(of.all - 256u * of.upper - 128u * rows);
  const float highest = larger(top, state.largest[j]), from = highest == hidden ? 0.0f : highest;
  const float keep = math::expFlushed(state.largest[j] - from), weight = math::expFlushed(top - from) * 0x1p-23f;
  const float factor = of.largestBits > 0x7f800000u ? __builtin_nanf("") : weight;
  state.largest[j] = highest;
  state.keep[j] = keep;
  state.factor[j] = factor;
  state.sum[j] = state.sum[j] * keep + static_cast<float>(static_cast<int32_t>(of.all - kHalves * rows)) * factor;
}

// Pointers to the digits' panels, `offset` bytes into each.
struct PanelPointers {
  int32_t* of[kWeightDigits];
  PanelPointers(const DigitPanels& panels, int64_t offset) {
    for (int digit = 0; digit < kWeightDigits; ++digit)
      of[digit] = reinterpret_cast<int32_t*>(panels.data + digit * panels.stride + offset);
  }
};

void weighDigitsStrip(const float* scores, int64_t n, int64_t stride, const DigitPanels& panels, const OnlineSoftmax& state) {
  const float hidden = -__builtin_inff();
  const float noKey[kStripColumns] = {hidden, hidden, hidden, hidden, hidden, hidden, hidden, hidden,
                                      hidden, hidden, hidden, hidden, hidden, hidden, hidden, hidden};
  float top[kStripColumns], shift[kStripColumns];
  largestOfRows(scores, n, stride, noKey, top);
  uint32_t all[kStripColumns], upper[kStripColumns], highest[kStripColumns], largestBits[kStripColumns];
  QUANTO_VECTORIZE
  for (int j = 0; j < kStripColumns; ++j) {
    shift[j] = top[j] == hidden ? 0.0f : top[j];
    all[j] = upper[j] = highest[j] = largestBits[j] = 0;
  }
  PanelPointers out(panels, kPanelHeaderBytes);
  int64_t padded = 0;
  for (int64_t row = 0; row < n; row += kGroup, padded += kGroup) {
    const float* x[kGroup];
    for (int i = 0; i < kGroup; ++i) x[i] = row + i < n ? scores + (row + i) * stride : noKey;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) {
      const auto take = [&](float score) __attribute__((always_inline)) {
        const float weight = math::expFlushed(score - shift[j]);
        const uint32_t bits = math::bitsOf(weight);
        largestBits[j] = bits > largestBits[j] ? bits : largestBits[j];
        return numberOf(weight);
      };
      const uint32_t a = take(x[0][j]), b = take(x[1][j]), c = take(x[2][j]), d = take(x[3][j]);
      putDigits(a, b, c, d, all[j], upper[j], highest[j], out.of, j);
    }
    for (auto& panel : out.of) panel += kPanelColumns;
  }
  const PanelPointers headers(panels, 0);
  QUANTO_VECTORIZE
  for (int j = 0; j < kStripColumns; ++j)
    endColumn(j, top[j], {all[j], upper[j], highest[j], largestBits[j]}, static_cast<uint32_t>(padded), headers.of, state);
}

void weighDigits(const float* scores, int64_t n, int64_t stride, int64_t columns, const DigitPanels& panels, const OnlineSoftmax& state) {
  for (int64_t j = 0; j < columns; j += kStripColumns) {
    weighDigitsStrip(scores + j, n, stride, {panels.data + j / kStripColumns * kWeightDigits * panels.stride, panels.stride},
                     {state.largest + j, state.sum + j, state.keep + j, state.factor + j});
  }
}

void weighFewDigits(const float* scores, int64_t n, int64_t stride, int64_t columns, const DigitPanels& panels,
                    const OnlineSoftmax& state) {
  const float hidden = -__builtin_inff();
  const int64_t padded = (n + kGroup - 1) / kGroup * kGroup, whole = (n + kStripColumns - 1) / kStripColumns * kStripColumns;
  const PanelPointers headers(panels, 0), out(panels, kPanelHeaderBytes);
  for (int32_t* header : headers.of) __builtin_memset(header, 0, kPanelHeaderBytes + padded / kGroup * kGroupBytes);
  for (int j = 0; j < kStripColumns; ++j) state.keep[j] = state.factor[j] = 0.0f;
  for (int j = 0; j < columns; ++j) {
    float x[kWeightedKeys];
    for (int64_t i = 0; i < n; ++i) x[i] = scores[i * stride + j];
    for (int64_t i = n; i < whole; ++i) x[i] = hidden;
    const float top = largestOfLanes<same, kStripColumns>(x, whole, [](const float*, int64_t) {}), shift = top == hidden ? 0.0f : top;
    uint32_t numbers[kWeightedKeys], all = 0, upper = 0, highest = 0, largestBits = 0;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < whole; ++i) {
      const float weight = math::expFlushed(x[i] - shift);
      const uint32_t bits = math::bitsOf(weight);
      largestBits = bits > largestBits ? bits : largestBits;
      numbers[i] = numberOf(weight);
    }
    for (int64_t i = 0; i < padded; i += kGroup) {
      putDigits(numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3], all, upper, highest, out.of, i / kGroup * kPanelColumns + j);
    }
    endColumn(j, top, {all, upper, highest, largestBits}, static_cast<uint32_t>(padded), headers.of, state);
  }
}

void addDigits(const int32_t* sums, int64_t sumsStride, int64_t n, int64_t columns, const float* keep, const float* factor, float* values,
               int64_t valuesStride) {
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t first = 0; first < columns; first += kStripColumns) {
      const int32_t *high = sums + row * sumsStride + first * kWeightDigits, *middle = high + kStripColumns, *low = middle + kStripColumns;
      float* value = values + row * valuesStride + first;
      QUANTO_VECTORIZE
      for (int j = 0; j < kStripColumns; ++j) {
        const float number = math::fma(static_cast<float>(high[j]), 0x1p16f, static_cast<float>(middle[j] * 256 + low[j]));
        value[j] = math::fma(value[j], keep[first + j], number * factor[first + j]);
      }
    }
  }
}

void takeApart(const uint32_t* words, int64_t n, int8_t* out, int64_t stride) {
  int8_t *second = out + stride, *third = second + stride, *fourth = third + stride;
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<int8_t>(words[i]);
    second[i] = static_cast<int8_t>(words[i] >> 8);
    third[i] = static_cast<int8_t>(words[i] >> 16);
    fourth[i] = static_cast<int8_t>(words[i] >> 24);
  }
}

void scaleColumns(float* rows, int64_t n, int64_t columns, const float* factor) {
  for (int64_t row = 0; row < n; ++row) {
    float* x = rows + row * columns;
    QUANTO_VECTORIZE
    for (int64_t j = 0; j < columns; ++j) x[j] *= factor[j];
  }
}

constexpr AttentionLoops makeAttentionLoops() {
  return {addMask, hideMasked, hideFrom, weigh, weighRow, scaleSums, weighDigits, weighFewDigits, addDigits, takeApart, scaleColumns};
}

}  // namespace
}  // namespace quanto::cpu
