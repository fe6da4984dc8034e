#include <utility>

#include "backend.h"
#include "blas_lt.h"
#include "code_rows.h"
#include "elementwise.h"
#include "gemm.h"
#include "loops.h"
#include "operands.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

View transposed(View view) {
  std::swap(view.shape[1], view.shape[2]);
  std::swap(view.strides[1], view.strides[2]);
  return view;
}

void multiplyFloats(Issue& issue, const View& a, const View& b, const View* bias, const View& out) {
  const Source left(a), right(b);
  const Target target(out, bias);
  multiply(
      issue, out.shape[0], out.shape[1], out.shape[2], a.shape[2],
      [=] QUANTO_DEVICE(int64_t item, int64_t i, int64_t l) { return left.get(item, i, l); },
      [=] QUANTO_DEVICE(int64_t item, int64_t l, int64_t j) { return right.get(item, l, j); },
      [=] QUANTO_DEVICE(int64_t item, int64_t i, int64_t j, float sum) { target.set(item, i, j, sum); });
}

void addBias(Issue& issue, const View& sums, const View& bias, const View& out) {
  const Source source(sums);
  const Target target(out, &bias);
  const int64_t columns = out.shape[2];
  issue.forEach(out.shape[1] * columns, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t row = i / columns, column = i % columns;
    target.set(0, row, column, source.get(0, row, column));
  });
}

// Matrices of sums that last until the next slot runs.
View scratchSums(Issue& issue, DType dtype, int64_t batch, int64_t m, int64_t n) {
  View sums{};
  sums.dtype = static_cast<int32_t>(dtype);
  sums.ndim = 3;
  const int64_t shape[] = {batch, m, n}, strides[] = {m * n, n, 1};
  for (int dim = 0; dim < 3; ++dim) {
    sums.shape[dim] = shape[dim];
    sums.strides[dim] = strides[dim];
  }
  sums.data = issue.scratch(Scratch::sums, static_cast<size_t>(batch * m * n * sizeOf(dtype)));
  return sums;
}

template <class Store>
void multiplyCodeViews(Issue& issue, const View& a, const View& b, const Store& store) {
  const int64_t k = a.shape[2];
  const auto *left = static_cast<const int8_t*>(a.data), *right = static_cast<const int8_t*>(b.data);
  const int64_t leftBatch = a.strides[0], leftRow = a.strides[1], leftDepth = a.strides[2];
  const int64_t rightBatch = b.strides[0], rightDepth = b.strides[1], rightColumn = b.strides[2];
  multiplyCodes(
      issue, a.shape[0], a.shape[1], b.shape[2], k,
      [=] QUANTO_DEVICE(int64_t item, int64_t i, int64_t l) {
        return fourCodes(left + item * leftBatch + i * leftRow + l * leftDepth, leftDepth, k - l);
      },
      [=] QUANTO_DEVICE(int64_t item, int64_t l, int64_t j) {
        return fourCodes(right + item * rightBatch + l * rightDepth + j * rightColumn, rightDepth, k - l);
      },
      store);
}

// Sums of a batch that are in scratch memory at a time: the device keeps that memory.
constexpr int64_t kBatchSums = int64_t{1} << 22;

// Items [first, first + count) of a batch.
View itemsOf(View view, int64_t first, int64_t count) {
  view.data = static_cast<char*>(view.data) + first * view.strides[0] * sizeOf(dtypeOf(view));
  view.shape[0] = count;
  return view;
}

// Products of codes by the library, scaled: the sums lie in `out` itself where its elements are as wide, else in scratch memory.
bool scaleByBlasLt(Issue& issue, Queue* queue, const View& a, const View& b, const float* scale, const View& out) {
  const int64_t m = out.shape[1], n = out.shape[2];
  const bool inPlace = dtypeOf(out) == DType::float32;
  const int64_t most = inPlace ? out.shape[0] : kBatchSums / (m * n) + 1;
  for (int64_t first = 0; first < out.shape[0]; first += most) {
    const int64_t count = out.shape[0] - first < most ? out.shape[0] - first : most;
    const View items = itemsOf(out, first, count);
    View sums = items;
    if (!inPlace) sums = scratchSums(issue, DType::int32, count, m, n);
    sums.dtype = static_cast<int32_t>(DType::int32);
    if (issue.failed() || !multiplyByBlasLt(issue, queue, itemsOf(a, first, count), itemsOf(b, first, count), sums)) return false;
    const auto loop = makeLoop({&items, &sums});
    const Operand integers(sums), to(items);
    issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
      int64_t at[2];
      loop.place(i, at);
      int32_t sum;
      memcpy(&sum, static_cast<const char*>(integers.data) + at[1] * sizeof sum, sizeof sum);
      to.set(at[0], static_cast<float>(sum) * *scale);
    });
  }
  return true;
}

// Rows from which the library's tiles pay; below, every weight is read once by our own kernel.
constexpr int64_t kManyRows = 17;

}  // namespace

Status matmul(Queue* queue, const View* a, const View* b, const View* out) {
  Issue issue(queue);
  if (elementCount(*out) > 0 && !multiplyByBlasLt(issue, queue, *a, *b, *out)) multiplyFloats(issue, *a, *b, nullptr, *out);
  return issue.finish();
}

Status intMatmul(Queue* queue, const View* a, const View* b, const View* out) {
  Issue issue(queue);
  if (elementCount(*out) == 0 || multiplyByBlasLt(issue, queue, *a, *b, *out)) return issue.finish();
  auto* sums = static_cast<int32_t*>(out->data);
  const int64_t batch = out->strides[0], row = out->strides[1], column = out->strides[2];
  multiplyCodeViews(issue, *a, *b,
                    [=] QUANTO_DEVICE(int64_t item, int64_t i, int64_t j, int sum) { sums[item * batch + i * row + j * column] = sum; });
  return issue.finish();
}

Status intMatmulScaled(Queue* queue, const View* a, const View* b, const View* scale, const View* out) {
  Issue issue(queue);
  const auto* factor = static_cast<const float*>(scale->data);
  if (elementCount(*out) == 0 || scaleByBlasLt(issue, queue, *a, *b, factor, *out)) return issue.finish();
  const Target to(*out, nullptr);
  multiplyCodeViews(issue, *a, *b, [=] QUANTO_DEVICE(int64_t item, int64_t i, int64_t j, int sum) {
    to.set(item, i, j, static_cast<float>(sum) * *factor);
  });
  return issue.finish();
}

Status linear(Queue* queue, const View* src, const View* weight, const View* bias, const View* out) {
  Issue issue(queue);
  const View a = batched(*src), b = transposed(batched(*weight)), target = batched(*out);
  if (elementCount(target) == 0) return issue.finish();
  // Adding the bias to a sum that was rounded to a narrow dtype would round twice, so it is added to float32 sums.
  const bool direct = !bias || dtypeOf(*out) == DType::float32;
  const View sums = direct ? target : scratchSums(issue, DType::float32, 1, target.shape[1], target.shape[2]);
  if (issue.failed()) return issue.finish();
  if (!multiplyByBlasLt(issue, queue, a, b, sums)) multiplyFloats(issue, a, b, bias, target);
  else if (bias) addBias(issue, sums, *bias, target);
  return issue.finish();
}

// Sums are float32 at every precision.
Status linearWeightOnly(Queue* queue, const View* src, const View* weight, const View* scale, const View* bias, const View* out, int32_t) {
  Issue issue(queue);
  const View a = batched(*src), target = batched(*out);
  const int64_t m = a.shape[1], n = target.shape[2], k = a.shape[2];
  const Source left(a);
  const Scales scales(*scale);
  const Target to(target, bias);
  const auto* codes = static_cast<const int8_t*>(weight->data);
  const int64_t rowStride = weight->strides[0], columnStride = weight->strides[1];
  if (elementCount(target) == 0) return issue.finish();
  if (m <= kFewRows && columnStride == 1 && k % 16 == 0 && rowStride % 16 == 0 && isAligned16(codes)) {
    // A warp for each row of the weight, 16 codes a load.
    constexpr int kWarps = 4;
    issue.launch(dim3(static_cast<unsigned>((n + kWarps - 1) / kWarps)), dim3(kWarp, kWarps), [=] QUANTO_DEVICE() {
      const int lane = static_cast<int>(threadIdx.x);
      const int64_t j = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y;
      float sums[kFewRows] = {};
      for (int64_t l = lane * 16; j < n && l < k; l += kWarp * 16) {
        alignas(16) int8_t w[16];
        *reinterpret_cast<int4*>(w) = *reinterpret_cast<const int4*>(codes + j * rowStride + l);
        for (int i = 0; i < kFewRows && i < m; ++i) {
          for (int c = 0; c < 16; ++c) sums[i] = multiplyAdd(left.get(0, i, l + c), static_cast<float>(w[c]), sums[i]);
        }
      }
      for (int i = 0; i < kFewRows && i < m; ++i) {
        float sum = sums[i];
        for (int distance = 1; distance < kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
        if (lane == 0 && j < n) to.set(0, i, j, sum * scales.get(j));
      }
    });
    return issue.finish();
  }
  multiply(
      issue, 1, m, n, k, [=] QUANTO_DEVICE(int64_t, int64_t i, int64_t l) { return left.get(0, i, l); },
      [=] QUANTO_DEVICE(int64_t, int64_t l, int64_t j) { return static_cast<float>(codes[j * rowStride + l * columnStride]); },
      [=] QUANTO_DEVICE(int64_t, int64_t i, int64_t j, float sum) { to.set(0, i, j, sum * scales.get(j)); });
  return issue.finish();
}

// Weights stay row-major here: packedBytes is null, and so nobody asks for another form.
Status packWeight(Queue* queue, const View* src, const View* out) { return copy(queue, src, out); }
Status unpackWeight(Queue* queue, const View* src, const View* out) { return copy(queue, src, out); }

namespace {

// The product of codes, scaled, with the bias, in out's real dtype.
Status multiplyCodes(Queue* queue, const View* src, const View* srcScale, const View* weight, const View* scale, const View* bias,
                     const View* out) {
  Issue issue(queue);
  const View a = batched(*src), b = transposed(batched(*weight)), target = batched(*out);
  const int64_t m = a.shape[1], n = target.shape[2], k = a.shape[2];
  if (elementCount(target) == 0) return issue.finish();
  const Scales rowScale(*srcScale), columnScale(*scale);
  const Target to(target, bias);
  const auto *codes = static_cast<const int8_t*>(src->data), *rows = static_cast<const int8_t*>(weight->data);
  const bool dense = src->strides[1] == 1 && weight->strides[1] == 1 && k % 16 == 0 && src->strides[0] % 16 == 0 &&
                     weight->strides[0] % 16 == 0 && isAligned16(codes) && isAligned16(rows);
  if (m <= kFewRows && dense) {
    multiplyFewRows(issue, m, n, k, codes, src->strides[0], rows, weight->strides[0], [=] QUANTO_DEVICE(int64_t i, int64_t j, int sum) {
      to.set(0, i, j, static_cast<float>(sum) * (rowScale.get(i) * columnScale.get(j)));
    });
    return issue.finish();
  }
  if (m >= kManyRows) {
    const View sums = scratchSums(issue, DType::int32, 1, m, n);
    if (!issue.failed() && multiplyByBlasLt(issue, queue, a, b, sums)) {
      const auto* values = static_cast<const int32_t*>(sums.data);
      issue.forEach(m * n, [=] QUANTO_DEVICE(int64_t i) {
        const int64_t row = i / n, column = i % n;
        to.set(0, row, column, static_cast<float>(values[i]) * (rowScale.get(row) * columnScale.get(column)));
      });
      return issue.finish();
    }
  }
  multiplyCodeViews(issue, a, b, [=] QUANTO_DEVICE(int64_t, int64_t i, int64_t j, int sum) {
    to.set(0, i, j, static_cast<float>(sum) * (rowScale.get(i) * columnScale.get(j)));
  });
  return issue.finish();
}

}  // namespace

// The separate kernels in order, without a trip to the host between them.
Status linearInt8(Queue* queue, const View* src, const View* srcScale, const View* weight, const View* scale, const View* bias,
                  const View* outScale, const View* out, int32_t activation) {
  Issue issue(queue);
  const int64_t m = out->shape[0], n = out->shape[1];
  if (elementCount(*out) == 0) return issue.finish();
  Status status = Status::ok;
  const auto then = [&](auto&& kernel) {
    if (status == Status::ok) status = kernel();
  };

  CodeRows rows{};
  then([&] { return codeRows(queue, issue, *src, srcScale, rows); });
  const DType between = dtypeOf(*scale);
  View values = *out;
  if (outScale) values = denseMatrix(issue.scratch(Scratch::values, static_cast<size_t>(m * n * sizeOf(between))), between, m, n);
  if (issue.failed()) return issue.finish();
  then([&] { return multiplyCodes(queue, &rows.codes, &rows.scale, weight, scale, bias, &values); });
  if (static_cast<Activation>(activation) != Activation::none) {
    constexpr UnaryOp kFunctions[] = {UnaryOp::relu, UnaryOp::relu, UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::silu};
    then([&] { return unary(queue, static_cast<int32_t>(kFunctions[activation]), &values, &values, 0, 0); });
  }
  if (outScale) {
    const View spread = spreadScale(*outScale, *out);
    then([&] { return quantize(queue, &values, &spread, out); });
  }
  return status;
}

}  // namespace quanto::cuda
