// Strided iteration: the one traversal that every elementwise kernel uses.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../backend.h"
#include "bypass.h"
#include "pool.h"
#include "vectorize.h"

namespace quanto::cpu {

// Elements that pass through a kernel's buffers at a time: small enough for the first-level cache.
inline constexpr int64_t kBlock = 512;

// Elements worth a thread of their own: of cheap arithmetic, and of functions such as exp.
inline constexpr int64_t kCheapGrain = 32 * 1024;
inline constexpr int64_t kCostlyGrain = 4 * 1024;

// The common traversal of N operands of one shape.
template <int N>
struct Loop {
  int ndim;
  int64_t count;
  int64_t shape[kMaxDims];
  int64_t strides[N][kMaxDims];

  int64_t innerStride(int operand) const { return strides[operand][ndim - 1]; }
};

// Appends a dim inside the others; merges it with its neighbour where every operand walks both as one.
template <int N>
void appendDim(Loop<N>& loop, int64_t size, const int64_t (&strides)[N]) {
  loop.count *= size;
  if (size == 1) return;
  bool merges = loop.ndim > 0;
  for (int i = 0; i < N && merges; ++i) merges = loop.strides[i][loop.ndim - 1] == strides[i] * size;
  if (!merges) loop.shape[loop.ndim++] = 1;
  const int last = loop.ndim - 1;
  loop.shape[last] *= size;
  for (int i = 0; i < N; ++i) loop.strides[i][last] = strides[i];
}

// A loop without dims becomes one dim of one element.
template <int N>
void finishLoop(Loop<N>& loop) {
  if (loop.ndim > 0) return;
  loop.ndim = 1;
  loop.shape[0] = 1;
  for (int i = 0; i < N; ++i) loop.strides[i][0] = 1;
}

// Dims [first, last) of the views, which agree on their sizes; the first view says them.
template <int N>
Loop<N> makeLoop(const View* const (&views)[N], int first, int last) {
  Loop<N> loop{};
  loop.count = 1;
  for (int dim = first; dim < last; ++dim) {
    int64_t strides[N];
    for (int i = 0; i < N; ++i) strides[i] = views[i]->strides[dim];
    appendDim(loop, views[0]->shape[dim], strides);
  }
  finishLoop(loop);
  return loop;
}

template <int N>
Loop<N> makeLoop(const View* const (&views)[N]) {
  return makeLoop(views, 0, views[0]->ndim);
}

// body(index, offsets, n) for runs of at most `longest` elements along the innermost dim, covering elements [begin, end) in row-major
// order: `index` is the first element's place in that order, offsets[i] its place in operand i.
template <int N, class Body>
void forEachRun(const Loop<N>& loop, int64_t begin, int64_t end, int64_t longest, Body&& body) {
  int64_t position[kMaxDims], offsets[N] = {};
  for (int64_t dim = loop.ndim - 1, rest = begin; dim >= 0; --dim) {
    if (loop.shape[dim] == 0) return;
    position[dim] = rest % loop.shape[dim];
    rest /= loop.shape[dim];
    for (int i = 0; i < N; ++i) offsets[i] += position[dim] * loop.strides[i][dim];
  }
  const int last = loop.ndim - 1;
  while (begin < end) {
    const int64_t n = std::min({end - begin, loop.shape[last] - position[last], longest});
    body(begin, offsets, n);
    begin += n;
    position[last] += n;
    for (int i = 0; i < N; ++i) offsets[i] += n * loop.strides[i][last];
    for (int dim = last; dim > 0 && position[dim] == loop.shape[dim]; --dim) {
      position[dim] = 0;
      ++position[dim - 1];
      for (int i = 0; i < N; ++i) offsets[i] += loop.strides[i][dim - 1] - loop.shape[dim] * loop.strides[i][dim];
    }
  }
}

// The same over all elements, on the pool's threads; `past` where the body writes past the caches.
template <int N, class Body>
void forEachRunParallel(const Loop<N>& loop, int64_t grain, int64_t longest, Body&& body, bool past = false) {
  if (loop.count == 0) return;
  parallelFor(loop.count, grain, [&](int64_t begin, int64_t end) {
    forEachRun(loop, begin, end, longest, body);
    if (past) finishBypass();
  });
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

}  // namespace quanto::cpu
