// Strided iteration: the common traversal of operands of one shape.
#pragma once

#include "elements.h"

namespace quanto::cuda {

template <int N>
struct Loop {
  int ndim;
  int64_t count;
  int64_t shape[kMaxDims];
  int64_t strides[N][kMaxDims];

  // Where the i-th element in row-major order lies in each operand.
  QUANTO_DEVICE void place(int64_t i, int64_t (&offsets)[N]) const {
    for (int k = 0; k < N; ++k) offsets[k] = 0;
    for (int dim = ndim - 1; dim > 0; --dim) {
      const int64_t rest = i / shape[dim], position = i - rest * shape[dim];
      for (int k = 0; k < N; ++k) offsets[k] += position * strides[k][dim];
      i = rest;
    }
    for (int k = 0; k < N; ++k) offsets[k] += i * strides[k][0];
  }

  // Whether every operand is one run of neighbouring elements.
  bool isDense() const {
    bool dense = ndim == 1;
    for (int k = 0; k < N; ++k) dense = dense && strides[k][0] == 1;
    return dense;
  }
};

// Appends a dim inside the others; merges it with its neighbour where every operand walks both as one.
template <int N>
void appendDim(Loop<N>& loop, int64_t size, const int64_t (&strides)[N]) {
  loop.count *= size;
  if (size == 1) return;
  bool merges = loop.ndim > 0;
  for (int k = 0; k < N && merges; ++k) merges = loop.strides[k][loop.ndim - 1] == strides[k] * size;
  if (!merges) loop.shape[loop.ndim++] = 1;
  const int last = loop.ndim - 1;
  loop.shape[last] *= size;
  for (int k = 0; k < N; ++k) loop.strides[k][last] = strides[k];
}

// Dims [first, last) of the views, which agree on their sizes; the first view says them.
template <int N>
Loop<N> makeLoop(const View* const (&views)[N], int first, int last) {
  Loop<N> loop{};
  loop.count = 1;
  for (int dim = first; dim < last; ++dim) {
    int64_t strides[N];
    for (int k = 0; k < N; ++k) strides[k] = views[k]->strides[dim];
    appendDim(loop, views[0]->shape[dim], strides);
  }
  if (loop.ndim == 0) {
    loop.ndim = 1;
    loop.shape[0] = 1;
    for (int k = 0; k < N; ++k) loop.strides[k][0] = 1;
  }
  return loop;
}

template <int N>
Loop<N> makeLoop(const View* const (&views)[N]) {
  return makeLoop(views, 0, views[0]->ndim);
}

inline int64_t elementCount(const View& view) {
  int64_t count = 1;
  for (int dim = 0; dim < view.ndim; ++dim) count *= view.shape[dim];
  return count;
}

// A number as a vector of one element.
inline View atLeast1d(View view) {
  if (view.ndim > 0) return view;
  view.ndim = 1;
  view.shape[0] = view.strides[0] = 1;
  return view;
}

inline bool isAligned16(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

}  // namespace quanto::cuda
