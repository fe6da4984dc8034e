// The softmax of one tile of attention, with a version for each instruction set, all giving the same bits. A tile of scores is
// [n][columns], a row for each key and a column for each query, so that the softmax runs across vectors; columns is a multiple of 16.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

// Weights in fixed point: 1 is the largest number of that many digits, about 2^23.
constexpr int kWeightDigits = 3;
constexpr float kWeightOne = 0x7f7f7f;
// Sums of so many weights, and of their digits by codes, fit 31 bits.
constexpr int kWeightedKeys = 128;

struct DigitPanels {
  int8_t* data;
  int64_t stride;
};

// Of each column.
struct OnlineSoftmax {
  float *largest, *sum, *keep, *factor;
};

struct AttentionLoops {
  // scores += mask
  void (*addMask)(float* scores, const float* mask, int64_t count);
  // scores where visible is not 0, -infinity elsewhere
  void (*hideMasked)(float* scores, const float* visible, int64_t count);
  // -infinity in rows [begin, n) wherever the row is at or past the column's limit.
  void (*hideFrom)(float* scores, int64_t begin, int64_t n, int64_t columns, const int32_t* limits);
  // One step of the online softmax (Milakov and Gimelshein 2018): takes the scores into the columns' running maximum and makes them
  // exp(score - maximum); adds those to the running sum. `factor` is what everything summed with the maximum before has to be multiplied
  // by.
  void (*weigh)(float* scores, int64_t n, int64_t columns, float* largest, float* sum, float* factor);
  // The same for one row of n scores beside each other; gives the factor.
  float (*weighRow)(float* scores, int64_t n, float* largest, float* sum);
  // scores = sums * factor
  void (*scaleSums)(const int32_t* sums, int64_t count, float factor, float* scores);
  // `weigh` in integers, for at most kWeightedKeys keys: weights relative to the largest of these keys in each column, in units of
  // 1 / kWeightOne. Their kWeightDigits signed digits to the base 256, the highest first, become packed panels (gemm/pack_int8.h): as many
  // for each 16 columns, panels.stride bytes apart. The sums are sum * keep + (these weights' sum) * factor, by which anything summed
  // before and now has to be multiplied.
  void (*weighDigits)(const float* scores, int64_t n, int64_t stride, int64_t columns, const DigitPanels& panels,
                      const OnlineSoftmax& state);
  // The same bits for the first few of 16 columns, along the keys. The other columns of the panels and of `keep` and `factor` are zeros.
  void (*weighFewDigits)(const float* scores, int64_t n, int64_t stride, int64_t columns, const DigitPanels& panels,
                         const OnlineSoftmax& state);
  // values[n][columns] = values * keep + (the numbers whose digits' sums are those of the panels, so many beside each other) * factor.
  void (*addDigits)(const int32_t* sums, int64_t sumsStride, int64_t n, int64_t columns, const float* keep, const float* factor,
                    float* values, int64_t valuesStride);
  // Byte b of each of n words goes to out + b * stride.
  void (*takeApart)(const uint32_t* words, int64_t n, int8_t* out, int64_t stride);
  // rows[n][columns] *= factor[columns]
  void (*scaleColumns)(float* rows, int64_t n, int64_t columns, const float* factor);
};

const AttentionLoops& attentionLoops();

// One for each instruction set.
extern const AttentionLoops kAttentionLoopsRef, kAttentionLoopsAvx2, kAttentionLoopsAvx512;

}  // namespace quanto::cpu
