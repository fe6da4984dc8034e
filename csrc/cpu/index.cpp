#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>

#include "elements.h"
#include "kernels.h"
#include "loops.h"
#include "scratch.h"

namespace quanto::cpu {
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

const int64_t* indices(const View& view) { return static_cast<const int64_t*>(view.data); }

// Remembers an index out of range; such elements are skipped.
class RangeCheck {
 public:
  explicit RangeCheck(int64_t size) : size_(size) {}
  bool accepts(int64_t index) {
    if (index >= 0 && index < size_) return true;
    failed_.store(true, std::memory_order_relaxed);
    return false;
  }
  Status status() const { return failed_ ? Status::indexOutOfRange : Status::ok; }

 private:
  int64_t size_;
  std::atomic<bool> failed_{false};
};

// The dims across which lines along `axis` are independent: out, index, src.
struct Lines {
  Loop<3> loop;
  int64_t length, indexStride, srcStride, outStride;
};

Lines linesAlong(const View& index, const View& src, const View& out, int axis) {
  const View rest[] = {withoutDim(index, axis), withoutDim(src, axis), withoutDim(out, axis)};
  return {makeLoop({&rest[0], &rest[1], &rest[2]}), index.shape[axis], index.strides[axis], src.strides[axis], out.strides[axis]};
}

// Adds n neighbouring lines element by element where out holds T itself.
template <class T>
void addInPlace(const Lines& lines, const View& index, const Reader<T>& reader, T* out, const int64_t (&offsets)[3], int64_t n,
                RangeCheck& range) {
  const int64_t indexInner = lines.loop.innerStride(0), outInner = lines.loop.innerStride(2);
  for (int64_t k = 0; k < lines.length; ++k) {
    const int64_t* place = indices(index) + offsets[0] + k * lines.indexStride;
    T buffer[kBlock];
    const T* values = reader.read(offsets[1] + k * lines.srcStride, n, buffer);
    T* target = out + offsets[2];
    if (indexInner == 0) {
      if (!range.accepts(*place)) continue;
      target += *place * lines.outStride;
      for (int64_t i = 0; i < n; ++i) target[i * outInner] += values[i];
    } else {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = place[i * indexInner];
        if (range.accepts(at)) target[i * outInner + at * lines.outStride] += values[i];
      }
    }
  }
}

// Sums one line of a narrow dtype in T, so that each element of out is rounded once.
template <class T>
void addLine(const Lines& lines, const View& index, const View& out, const Reader<T>& reader, const int64_t (&offsets)[3], int64_t i,
             int64_t size, T* sums, RangeCheck& range) {
  const DType dtype = dtypeOf(out);
  void* line = static_cast<char*>(out.data) + (offsets[2] + i * lines.loop.innerStride(2)) * sizeOf(dtype);
  loadFunction<T>(dtype)(line, lines.outStride, size, sums);
  const int64_t* place = indices(index) + offsets[0] + i * lines.loop.innerStride(0);
  for (int64_t k = 0; k < lines.length; ++k) {
    const int64_t at = place[k * lines.indexStride];
    if (range.accepts(at)) sums[at] += reader.readOne(offsets[1] + i * lines.loop.innerStride(1) + k * lines.srcStride);
  }
  storeFunction<T>(dtype)(sums, size, line, lines.outStride);
}

// out[.., index, ..] += src, in index order within a line; lines are spread over threads.
template <class T>
Status addAlong(const View& index, const View& src, const View& out, int axis) {
  const Lines lines = linesAlong(index, src, out, axis);
  const int64_t size = out.shape[axis];
  RangeCheck range(size);
  std::atomic<bool> outOfMemory{false};
  const Reader<T> reader(src, lines.loop.innerStride(1));
  const int64_t grain = std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, lines.length));
  forEachRunParallel(lines.loop, grain, kBlock, [&](int64_t, const int64_t(&offsets)[3], int64_t n) {
    if (isStoredAs<T>(dtypeOf(out))) return addInPlace(lines, index, reader, static_cast<T*>(out.data), offsets, n, range);
    T* sums = static_cast<T*>(scratch(size * static_cast<int64_t>(sizeof(T))));
    if (!sums) outOfMemory = true;
    else
      for (int64_t i = 0; i < n; ++i) addLine(lines, index, out, reader, offsets, i, size, sums, range);
  });
  return outOfMemory ? Status::outOfMemory : range.status();
}

// Whether a goes before b among the k first.
template <class T, bool largest>
bool goesBefore(T a, T b) {
  const bool aUnordered = a != a, bUnordered = b != b;
  if (aUnordered || bUnordered) return largest ? aUnordered && !bUnordered : bUnordered && !aUnordered;
  return largest ? a > b : a < b;
}

template <class T, bool largest>
Status selectTop(const View& src, const View& values, const View& positions) {
  const int last = src.ndim - 1;
  const auto rows = makeLoop({&src, &values, &positions}, 0, last);
  const int64_t n = src.shape[last], k = values.shape[last];
  const Reader<T> reader(src, src.strides[last]);
  const Writer<T> valueWriter(values, values.strides[last]);
  const Writer<int64_t> positionWriter(positions, positions.strides[last]);
  std::atomic<bool> failed{false};
  forEachRunParallel(rows, std::max<int64_t>(1, kCostlyGrain / std::max<int64_t>(1, n)), 1,
                     [&](int64_t, const int64_t(&offsets)[3], int64_t) {
                       int64_t* order = static_cast<int64_t*>(scratch(2 * n * static_cast<int64_t>(sizeof(int64_t))));
                       if (!order) {
                         failed = true;
                         return;
                       }
                       const T* row = reader.read(offsets[0], n, reinterpret_cast<T*>(order + n));
                       std::iota(order, order + n, int64_t{0});
                       std::partial_sort(order, order + k, order + n, [=](int64_t a, int64_t b) {
                         if (goesBefore<T, largest>(row[a], row[b])) return true;
                         return !goesBefore<T, largest>(row[b], row[a]) && a < b;
                       });
                       for (int64_t i = 0; i < k; ++i) {
                         valueWriter.writeOne(offsets[1] + i * values.strides[last], row[order[i]]);
                         positionWriter.writeOne(offsets[2] + i * positions.strides[last], order[i]);
                       }
                     });
  return failed ? Status::outOfMemory : Status::ok;
}

}  // namespace

Status gather(Queue* queue, const View* src, const View* index, const View* out, int32_t axis) {
  if (src->ndim == 0) return indexSelect(queue, src, index, out, axis);
  // src as seen from out: its place along the axis comes from the index.
  View base = *out;
  std::copy_n(src->strides, src->ndim, base.strides);
  base.strides[axis] = 0;
  const auto loop = makeLoop({out, index, &base});
  RangeCheck range(src->shape[axis]);
  withElementBytes(dtypeOf(*out), [&](auto bytes) {
    using T = BitsOf<bytes>;
    forEachRunParallel(loop, kCheapGrain, loop.count, [&](int64_t, const int64_t(&offsets)[3], int64_t n) {
      T* target = static_cast<T*>(out->data) + offsets[0];
      const int64_t* place = indices(*index) + offsets[1];
      const T* source = static_cast<const T*>(src->data) + offsets[2];
      const int64_t step[] = {loop.innerStride(0), loop.innerStride(1), loop.innerStride(2)};
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = place[i * step[1]];
        if (range.accepts(at)) target[i * step[0]] = source[i * step[2] + at * src->strides[axis]];
      }
    });
  });
  return range.status();
}

Status scatterAdd(Queue*, const View* index, const View* src, const View* out, int32_t axis) {
  const View places = atLeast1d(*index), values = atLeast1d(*src), target = atLeast1d(*out);
  if (isReal(dtypeOf(*out))) return addAlong<float>(places, values, target, axis);
  return addAlong<int64_t>(places, values, target, axis);
}

Status indexSelect(Queue*, const View* src, const View* index, const View* out, int32_t axis) {
  const View outRest = withoutDim(*out, axis), srcRest = withoutDim(*src, axis);
  const auto rest = makeLoop({&outRest, &srcRest});
  const int64_t outStride = rest.innerStride(0), srcStride = rest.innerStride(1);
  RangeCheck range(src->shape[axis]);
  withElementBytes(dtypeOf(*out), [&](auto bytes) {
    using T = BitsOf<bytes>;
    const int64_t grain = std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, rest.count));
    parallelFor(out->shape[axis], grain, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t at = indices(*index)[k * index->strides[0]];
        if (!range.accepts(at)) continue;
        T* target = static_cast<T*>(out->data) + k * out->strides[axis];
        const T* source = static_cast<const T*>(src->data) + at * src->strides[axis];
        forEachRun(rest, 0, rest.count, rest.count, [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
          T* to = target + offsets[0];
          const T* from = source + offsets[1];
          if (outStride == 1 && srcStride == 1) std::memcpy(to, from, n * sizeof(T));
          else
            for (int64_t i = 0; i < n; ++i) to[i * outStride] = from[i * srcStride];
        });
      }
    });
  });
  return range.status();
}

Status indexAdd(Queue* queue, const View* index, const View* src, const View* out, int32_t axis) {
  const View expanded = alongAxis(*index, *src, axis);
  return scatterAdd(queue, &expanded, src, out, axis);
}

Status topk(Queue*, const View* src, const View* values, const View* positions, int32_t largest) {
  if (isReal(dtypeOf(*src)))
    return largest ? selectTop<float, true>(*src, *values, *positions) : selectTop<float, false>(*src, *values, *positions);
  return largest ? selectTop<int64_t, true>(*src, *values, *positions) : selectTop<int64_t, false>(*src, *values, *positions);
}

Status triangular(Queue*, const View* src, const View* out, int64_t diagonal, int32_t upper) {
  const int last = out->ndim - 1;
  const auto rows = makeLoop({out, src}, 0, last);
  const int64_t height = out->shape[last - 1], width = out->shape[last], outStride = out->strides[last], srcStride = src->strides[last];
  withElementBytes(dtypeOf(*out), [&](auto bytes) {
    using T = BitsOf<bytes>;
    forEachRunParallel(rows, std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, width)), 1,
                       [&](int64_t index, const int64_t(&offsets)[2], int64_t) {
                         T* target = static_cast<T*>(out->data) + offsets[0];
                         const T* source = static_cast<const T*>(src->data) + offsets[1];
                         // Column of the diagonal in this row; the upper triangle keeps it and what follows, the lower one it and what
                         // precedes.
                         const int64_t column = index % height + diagonal;
                         const int64_t begin = upper ? std::clamp<int64_t>(column, 0, width) : 0;
                         const int64_t end = upper ? width : std::clamp<int64_t>(column + 1, 0, width);
                         for (int64_t j = 0; j < begin; ++j) target[j * outStride] = 0;
                         for (int64_t j = begin; j < end; ++j) target[j * outStride] = source[j * srcStride];
                         for (int64_t j = end; j < width; ++j) target[j * outStride] = 0;
                       });
  });
  return Status::ok;
}

}  // namespace quanto::cpu
