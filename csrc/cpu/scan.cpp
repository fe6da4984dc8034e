// What walks along the last dim in order: the place of an extreme value, and running sums.
#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// Rows of n elements that repay a thread.
int64_t rowGrain(int64_t n) { return std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, n)); }

// NaN first, then the larger; `direction` -1 looks for the smallest.
template <class T>
void findExtremes(const View& src, const View& out, int direction) {
  const auto rows = makeLoop({&out, &src}, 0, out.ndim);
  const int64_t n = src.shape[src.ndim - 1], stride = src.strides[src.ndim - 1];
  const Reader<T> reader(src, stride);
  auto* results = static_cast<int64_t*>(out.data);
  forEachRunParallel(rows, rowGrain(n), rows.count, [&](int64_t, const int64_t(&offsets)[2], int64_t count) {
    for (int64_t row = 0; row < count; ++row) {
      int64_t found = 0;
      T best{};
      for (int64_t begin = 0; begin < n; begin += kBlock) {
        T buffer[kBlock];
        const int64_t length = std::min(kBlock, n - begin);
        const T* x = reader.read(offsets[1] + row * rows.innerStride(1) + begin * stride, length, buffer);
        for (int64_t i = 0; i < length; ++i) {
          const bool better = direction > 0 ? x[i] > best : x[i] < best;
          if (begin + i == 0 || (best == best && (better || x[i] != x[i]))) {
            best = x[i];
            found = begin + i;
          }
        }
      }
      results[offsets[0] + row * rows.innerStride(0)] = found;
    }
  });
}

template <class T, class Total>
void accumulate(const View& src, const View& out) {
  const auto rows = makeLoop({&out, &src}, 0, src.ndim - 1);
  const int64_t n = src.shape[src.ndim - 1], stride = src.strides[src.ndim - 1], outStride = out.strides[src.ndim - 1];
  const Reader<T> reader(src, stride);
  const Writer<T> writer(out, outStride);
  forEachRunParallel(rows, rowGrain(n), rows.count, [&](int64_t, const int64_t(&offsets)[2], int64_t count) {
    for (int64_t row = 0; row < count; ++row) {
      Total total = 0;
      for (int64_t begin = 0; begin < n; begin += kBlock) {
        T buffer[kBlock], results[kBlock];
        const int64_t length = std::min(kBlock, n - begin);
        const int64_t place = offsets[0] + row * rows.innerStride(0) + begin * outStride;
        const T* x = reader.read(offsets[1] + row * rows.innerStride(1) + begin * stride, length, buffer);
        T* target = writer.target(place, results);
        for (int64_t i = 0; i < length; ++i) target[i] = static_cast<T>(total += x[i]);
        writer.write(place, length, target);
      }
    }
  });
}

}  // namespace

Status argReduce(Queue*, int32_t op, const View* src, const View* out) {
  const int direction = static_cast<ReduceOp>(op) == ReduceOp::max ? 1 : -1;
  if (isReal(dtypeOf(*src))) findExtremes<float>(atLeast1d(*src), *out, direction);
  else findExtremes<int64_t>(atLeast1d(*src), *out, direction);
  return Status::ok;
}

Status cumsum(Queue*, const View* src, const View* out) {
  if (isReal(dtypeOf(*src))) accumulate<float, double>(atLeast1d(*src), atLeast1d(*out));
  else accumulate<int64_t, int64_t>(atLeast1d(*src), atLeast1d(*out));
  return Status::ok;
}

}  // namespace quanto::cpu
