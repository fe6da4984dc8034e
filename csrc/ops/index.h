#pragma once

#include <vector>

#include "common.h"

namespace quanto::ops {

// Index tensors are int64 or int32. Their values are data, so one out of range fails where the result is read.

// out[.., i, ..] = src[.., index[.., i, ..], ..]; index is no larger than src in the other dims.
Tensor gather(const Tensor& src, int64_t axis, const Tensor& index);
// src plus updates at the places that gather would read. Narrow floats are summed in float32, here and in the other sums.
Tensor scatterAdd(const Tensor& src, int64_t axis, const Tensor& index, const Tensor& updates);
// Slices along an axis; index is 1-D.
Tensor indexSelect(const Tensor& src, int64_t axis, const Tensor& index);
// src plus slices of updates at the places that indexSelect would read.
Tensor indexAdd(const Tensor& src, int64_t axis, const Tensor& index, const Tensor& updates);
// Rows of weight [rows, d] for an index of any shape: index.shape + [d].
Tensor embedding(const Tensor& weight, const Tensor& index);
// The weight's gradient [rows, d].
Tensor embeddingBackward(const Tensor& dout, const Tensor& index, int64_t rows);
// The k largest or smallest along an axis, in order, ties by lower index, NaN largest. Returns values and int64 indices.
std::vector<Tensor> topk(const Tensor& src, int64_t k, int64_t axis, bool largest);
// The upper or lower triangle of the last two dims, counted from a diagonal (0 is the main one, 1 the next above); zero elsewhere.
Tensor triangular(const Tensor& src, int64_t diagonal, bool upper);

}  // namespace quanto::ops
