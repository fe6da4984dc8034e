// What walks along the last dim in order: the place of an extreme value, and running sums.
#include "backend.h"
#include "block.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

template <class T>
struct Found {
  T value;
  int32_t at;  // -1: none
};

struct Order {
  bool largest;   // the larger goes first
  bool nanFirst;  // NaN goes before everything, else after

  // Of equal values the lower index goes first.
  template <class T>
  QUANTO_DEVICE bool goesBefore(const Found<T>& a, const Found<T>& b) const {
    if (a.at < 0 || b.at < 0) return a.at >= 0;
    const bool aUnordered = a.value != a.value, bUnordered = b.value != b.value;
    if (aUnordered != bUnordered) return aUnordered == nanFirst;
    if (!aUnordered && a.value != b.value) return largest ? a.value > b.value : a.value < b.value;
    return a.at < b.at;
  }
  template <class T>
  QUANTO_DEVICE Found<T> firstOf(const Found<T>& a, const Found<T>& b) const {
    return goesBefore(a, b) ? a : b;
  }
};

// The winner among the block's candidates; values and places are exchanged apart, because a shuffle moves 8 bytes.
template <class T>
QUANTO_DEVICE Found<T> firstOfBlock(Found<T> mine, Order order) {
  __shared__ Found<T> warps[kMaxBlock / kWarp];
  const int thread = static_cast<int>(threadIdx.x), count = static_cast<int>(blockDim.x) / kWarp;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Found<T> other{__shfl_xor_sync(kAllLanes, mine.value, distance), __shfl_xor_sync(kAllLanes, mine.at, distance)};
    mine = order.firstOf(mine, other);
  }
  if (count == 1) return mine;
  if (thread % kWarp == 0) warps[thread / kWarp] = mine;
  __syncthreads();
  Found<T> best = warps[0];
  for (int i = 1; i < count; ++i) best = order.firstOf(best, warps[i]);
  __syncthreads();
  return best;
}

template <class T>
void findExtremes(Issue& issue, const View& src, const View& out, Order order) {
  const auto rows = makeLoop({&out, &src}, 0, out.ndim);
  const int64_t n = src.shape[src.ndim - 1], stride = src.strides[src.ndim - 1];
  const Operand source(src);
  auto* results = static_cast<int64_t*>(out.data);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    int64_t at[2];
    rows.place(row, at);
    Found<T> mine{T{}, -1};
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
      mine = order.firstOf(mine, Found<T>{source.get<T>(at[1] + i * stride), static_cast<int32_t>(i)});
    mine = firstOfBlock(mine, order);
    if (threadIdx.x == 0) results[at[0]] = mine.at < 0 ? 0 : mine.at;
  });
}

template <class T, class Total>
void accumulate(Issue& issue, const View& src, const View& out) {
  const int last = src.ndim - 1;
  const auto rows = makeLoop({&out, &src}, 0, last);
  const int64_t n = src.shape[last], stride = src.strides[last], outStride = out.strides[last];
  const Operand source(src), target(out);
  issue.forEach(rows.count, [=] QUANTO_DEVICE(int64_t row) {
    int64_t at[2];
    rows.place(row, at);
    Total total = 0;
    for (int64_t i = 0; i < n; ++i) {
      total += source.get<T>(at[1] + i * stride);
      target.set(at[0] + i * outStride, static_cast<T>(total));
    }
  });
}

// One pass over the row for each of the k places: what comes first among those that come after the last one found.
template <class T>
void selectTop(Issue& issue, const View& src, const View& values, const View& positions, Order order) {
  const int last = src.ndim - 1;
  const auto rows = makeLoop({&src, &values, &positions}, 0, last);
  const int64_t n = src.shape[last], k = values.shape[last];
  const int64_t stride = src.strides[last], valueStride = values.strides[last], positionStride = positions.strides[last];
  const Operand source(src), valuesOut(values);
  auto* places = static_cast<int64_t*>(positions.data);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    int64_t at[3];
    rows.place(row, at);
    Found<T> previous{T{}, -1};
    for (int64_t rank = 0; rank < k; ++rank) {
      Found<T> mine{T{}, -1};
      for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const Found<T> candidate{source.get<T>(at[0] + i * stride), static_cast<int32_t>(i)};
        if ((rank == 0 || order.goesBefore(previous, candidate)) && order.goesBefore(candidate, mine)) mine = candidate;
      }
      previous = firstOfBlock(mine, order);
      if (threadIdx.x == 0) {
        valuesOut.set(at[1] + rank * valueStride, previous.value);
        places[at[2] + rank * positionStride] = previous.at;
      }
    }
  });
}

}  // namespace

Status argReduce(Queue* queue, int32_t op, const View* src, const View* out) {
  Issue issue(queue);
  const Order order{static_cast<ReduceOp>(op) == ReduceOp::max, true};
  if (isReal(dtypeOf(*src))) findExtremes<float>(issue, atLeast1d(*src), *out, order);
  else findExtremes<int64_t>(issue, atLeast1d(*src), *out, order);
  return issue.finish();
}

Status cumsum(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  if (isReal(dtypeOf(*src))) accumulate<float, double>(issue, atLeast1d(*src), atLeast1d(*out));
  else accumulate<int64_t, int64_t>(issue, atLeast1d(*src), atLeast1d(*out));
  return issue.finish();
}

Status topk(Queue* queue, const View* src, const View* values, const View* positions, int32_t largest) {
  Issue issue(queue);
  const Order order{largest != 0, largest != 0};
  if (isReal(dtypeOf(*src))) selectTop<float>(issue, *src, *values, *positions, order);
  else selectTop<int64_t>(issue, *src, *values, *positions, order);
  return issue.finish();
}

}  // namespace quanto::cuda
