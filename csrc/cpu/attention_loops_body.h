// The loops of attention_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "attention_loops.h"
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

// NaN is no maximum, but its weight is NaN, and so are the sum and the result.
void weighStrip(float* scores, int64_t n, int64_t columns, float* largest, float* sum, float* factor) {
  float top[kStripColumns], shift[kStripColumns], part[kStripColumns];
  for (int j = 0; j < kStripColumns; ++j) top[j] = largest[j];
  int64_t row = 0;
  for (; row + 4 <= n; row += 4) {
    const float *x0 = scores + row * columns, *x1 = x0 + columns, *x2 = x1 + columns, *x3 = x2 + columns;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) top[j] = larger(larger(larger(x0[j], x1[j]), larger(x2[j], x3[j])), top[j]);
  }
  for (; row < n; ++row) {
    const float* x = scores + row * columns;
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) top[j] = larger(x[j], top[j]);
  }
  QUANTO_VECTORIZE
  for (int j = 0; j < kStripColumns; ++j) {
    // A column of nothing but hidden keys keeps -infinity, which must not be subtracted from itself.
    shift[j] = top[j] == -__builtin_inff() ? 0.0f : top[j];
    factor[j] = math::expFlushed(largest[j] - shift[j]);
    largest[j] = top[j];
    part[j] = 0.0f;
  }
  for (row = 0; row < n; ++row) {
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
  float top = *largest;
  for (float& lane : lanes) lane = top;
  int64_t i = 0;
  for (; i + kStripColumns <= n; i += kStripColumns) {
    QUANTO_VECTORIZE
    for (int j = 0; j < kStripColumns; ++j) lanes[j] = larger(scores[i + j], lanes[j]);
  }
  for (; i < n; ++i) top = larger(scores[i], top);
  for (const float lane : lanes) top = larger(lane, top);
  const float shift = top == -__builtin_inff() ? 0.0f : top, factor = math::expFlushed(*largest - shift);

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

void scaleColumns(float* rows, int64_t n, int64_t columns, const float* factor) {
  for (int64_t row = 0; row < n; ++row) {
    float* x = rows + row * columns;
    QUANTO_VECTORIZE
    for (int64_t j = 0; j < columns; ++j) x[j] *= factor[j];
  }
}

constexpr AttentionLoops makeAttentionLoops() { return {addMask, hideMasked, hideFrom, weigh, weighRow, scaleColumns}; }

}  // namespace
}  // namespace quanto::cpu
