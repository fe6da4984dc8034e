// The softmax of one tile of attention, with a version for each instruction set, all giving the same bits. A tile of scores is
// [n][columns], a row for each key and a column for each query, so that the softmax runs across vectors; columns is a multiple of 16.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

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
  // rows[n][columns] *= factor[columns]
  void (*scaleColumns)(float* rows, int64_t n, int64_t columns, const float* factor);
};

const AttentionLoops& attentionLoops();

// One for each instruction set.
extern const AttentionLoops kAttentionLoopsRef, kAttentionLoopsAvx2, kAttentionLoopsAvx512;

}  // namespace quanto::cpu
