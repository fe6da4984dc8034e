#include <algorithm>

#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

View withoutDim(View view, int dim) {
  --view.ndim;
  for (int i = dim; i < view.ndim; ++i) {
    view.shape[i] = view.shape[i + 1];
    view.strides[i] = view.strides[i + 1];
  }
  return view;
}

// A 1-D index as one of every element of `like`.
View alongAxis(const View& index, const View& like, int axis) {
  View expanded = like;
  expanded.data = index.data;
  expanded.dtype = index.dtype;
  for (int dim = 0; dim < like.ndim; ++dim) expanded.strides[dim] = dim == axis ? index.strides[0] : 0;
  return expanded;
}

// Whether the index is in range; tells the flag if not.
QUANTO_DEVICE inline bool accepts(int64_t index, int64_t size, int* flag) {
  if (index >= 0 && index < size) return true;
  atomicOr(flag, 1);
  return false;
}

// out[.., index, ..] += src, a thread for each line, in index order: sums do not depend on the order of threads.
template <class T>
void addAlong(Issue& issue, const View& index, const View& src, const View& out, int axis, int* flag) {
  const View rest[] = {withoutDim(index, axis), withoutDim(src, axis), withoutDim(out, axis)};
  const auto lines = makeLoop({&rest[0], &rest[1], &rest[2]});
  const int64_t length = index.shape[axis], indexStride = index.strides[axis], srcStride = src.strides[axis], outStride = out.strides[axis];
  const int64_t size = out.shape[axis];
  const Operand source(src), target(out);
  const auto* places = static_cast<const int64_t*>(index.data);
  issue.forEach(lines.count, [=] QUANTO_DEVICE(int64_t line) {
    int64_t at[3];
    lines.place(line, at);
    for (int64_t k = 0; k < length; ++k) {
      const int64_t place = places[at[0] + k * indexStride];
      if (!accepts(place, size, flag)) continue;
      const int64_t to = at[2] + place * outStride;
      target.set(to, static_cast<T>(target.get<T>(to) + source.get<T>(at[1] + k * srcStride)));
    }
  });
}

// out = src with the place along the axis taken from an index of out's shape.
Status take(Queue* queue, const View& src, const View& index, const View& out, int32_t axis) {
  Issue issue(queue);
  int* flag = issue.indexFlag();
  View base = out;
  std::copy_n(src.strides, src.ndim, base.strides);
  base.strides[axis] = 0;
  const auto loop = makeLoop({&out, &index, &base});
  const int64_t size = src.shape[axis], stride = src.strides[axis];
  const int bytes = elementBytes(out);
  void *const from = src.data, *const to = out.data;
  const auto* places = static_cast<const int64_t*>(index.data);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[3];
    loop.place(i, at);
    const int64_t place = places[at[1]];
    if (accepts(place, size, flag)) moveElement(to, at[0], from, at[2] + place * stride, bytes);
  });
  return issue.finishIndices();
}

}  // namespace

Status gather(Queue* queue, const View* src, const View* index, const View* out, int32_t axis) {
  return take(queue, *src, *index, *out, axis);
}

Status indexSelect(Queue* queue, const View* src, const View* index, const View* out, int32_t axis) {
  return take(queue, *src, alongAxis(*index, *out, axis), *out, axis);
}

Status scatterAdd(Queue* queue, const View* index, const View* src, const View* out, int32_t axis) {
  Issue issue(queue);
  int* flag = issue.indexFlag();
  const View places = atLeast1d(*index), values = atLeast1d(*src), target = atLeast1d(*out);
  if (isReal(dtypeOf(*out))) addAlong<float>(issue, places, values, target, axis, flag);
  else addAlong<int64_t>(issue, places, values, target, axis, flag);
  return issue.finishIndices();
}

Status indexAdd(Queue* queue, const View* index, const View* src, const View* out, int32_t axis) {
  const View expanded = alongAxis(*index, *src, axis);
  return scatterAdd(queue, &expanded, src, out, axis);
}

Status triangular(Queue* queue, const View* src, const View* out, int64_t diagonal, int32_t upper) {
  Issue issue(queue);
  const auto loop = makeLoop({out, src});
  const int64_t height = out->shape[out->ndim - 2], width = out->shape[out->ndim - 1];
  const int bytes = elementBytes(*out);
  void *const from = src->data, *const to = out->data;
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[2];
    loop.place(i, at);
    const int64_t column = i % width, edge = i / width % height + diagonal;
    const uint64_t zero = 0;
    if (upper ? column >= edge : column <= edge) moveElement(to, at[0], from, at[1], bytes);
    else moveElement(to, at[0], &zero, 0, bytes);
  });
  return issue.finish();
}

}  // namespace quanto::cuda
