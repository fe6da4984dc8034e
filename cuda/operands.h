// The operands of products and layers, as kernels read and write them.
#pragma once

#include "loops.h"

namespace quanto::cuda {

// A matrix as one of a batch.
inline View batched(const View& view) {
  View three = view;
  three.ndim = 3;
  three.shape[0] = 1;
  three.strides[0] = 0;
  for (int dim = 0; dim < 2; ++dim) {
    three.shape[dim + 1] = view.shape[dim];
    three.strides[dim + 1] = view.strides[dim];
  }
  return three;
}

// One number for all has stride 0, whatever its shape; else there is one dim with a size of its own.
struct Scales {
  Operand values;
  int64_t stride = 0;
  explicit Scales(const View& view) : values(view) {
    for (int dim = 0; dim < view.ndim; ++dim) {
      if (view.shape[dim] > 1) stride = view.strides[dim];
    }
  }
  QUANTO_DEVICE float get(int64_t i) const { return values.get(i * stride); }
};

// out[i, j] of a product, with the bias of the column where there is one.
struct Target {
  Operand out, bias;
  int64_t strides[3];
  int64_t biasStride;
  Target(const View& out, const View* bias)
      : out(out), bias(bias), strides{out.strides[0], out.strides[1], out.strides[2]}, biasStride(bias ? bias->strides[0] : 0) {}
  QUANTO_DEVICE void set(int64_t item, int64_t i, int64_t j, float sum) const {
    if (bias.given()) sum += bias.get(j * biasStride);
    out.set(item * strides[0] + i * strides[1] + j * strides[2], sum);
  }
};

// The batch item's matrix of an operand, element by element.
struct Source {
  Operand values;
  int64_t strides[3];
  explicit Source(const View& view) : values(view), strides{view.strides[0], view.strides[1], view.strides[2]} {}
  QUANTO_DEVICE float get(int64_t item, int64_t i, int64_t j) const {
    return values.get(item * strides[0] + i * strides[1] + j * strides[2]);
  }
};

}  // namespace quanto::cuda
