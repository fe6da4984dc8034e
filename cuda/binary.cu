#include <cmath>

#include "backend.h"
#include "elementwise.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

bool isPlain(const View& view) { return dtypeOf(view) == DType::float32 && isAligned16(view.data); }

void runDense(Issue& issue, BinaryOp op, const View& a, const View& b, const View& out, int64_t count) {
  const auto *left = static_cast<const float4*>(a.data), *right = static_cast<const float4*>(b.data);
  auto* target = static_cast<float4*>(out.data);
  issue.forEach(count / 4, [=] QUANTO_DEVICE(int64_t i) {
    const float4 x = left[i], y = right[i];
    target[i] = float4{binaryRow(op, x.x, y.x), binaryRow(op, x.y, y.y), binaryRow(op, x.z, y.z), binaryRow(op, x.w, y.w)};
  });
  const int64_t done = count / 4 * 4;
  const auto *x = static_cast<const float*>(a.data) + done, *y = static_cast<const float*>(b.data) + done;
  auto* rest = static_cast<float*>(out.data) + done;
  issue.forEach(count % 4, [=] QUANTO_DEVICE(int64_t i) { rest[i] = binaryRow(op, x[i], y[i]); });
}

template <class T>
void run(Issue& issue, BinaryOp op, const View& a, const View& b, const View& out) {
  const auto loop = makeLoop({&out, &a, &b});
  const Operand left(a), right(b), target(out);
  if constexpr (isFloat<T>) {
    if (loop.isDense() && isPlain(a) && isPlain(b) && isPlain(out)) return runDense(issue, op, a, b, out, loop.count);
  }
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[3];
    loop.place(i, at);
    target.set(at[0], binaryRow(op, left.get<T>(at[1]), right.get<T>(at[2])));
  });
}

template <class T>
void runScalar(Issue& issue, BinaryOp op, const View& src, T scalar, bool reversed, const View& out) {
  const auto loop = makeLoop({&out, &src});
  const Operand source(src), target(out);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[2];
    loop.place(i, at);
    const T x = source.get<T>(at[1]);
    target.set(at[0], reversed ? binaryRow(op, scalar, x) : binaryRow(op, x, scalar));
  });
}

// Whether the row is computed on integers: not when its result is real, nor when the op promoted `out` to a real dtype.
bool onIntegers(int32_t op, const View& src, const View& out) {
  return !isReal(dtypeOf(src)) && binaryResult(op) != Result::real && !isReal(dtypeOf(out));
}

bool isInt64(double value) { return value == std::floor(value) && std::fabs(value) < 9223372036854775808.0; }

}  // namespace

Status binary(Queue* queue, int32_t op, const View* a, const View* b, const View* out) {
  Issue issue(queue);
  if (onIntegers(op, *a, *out)) run<int64_t>(issue, static_cast<BinaryOp>(op), *a, *b, *out);
  else run<float>(issue, static_cast<BinaryOp>(op), *a, *b, *out);
  return issue.finish();
}

Status binaryScalar(Queue* queue, int32_t op, const View* src, double scalar, int32_t reversed, const View* out) {
  const auto kind = static_cast<BinaryOp>(op);
  // By far the most usual power, and many times faster as a product.
  if (kind == BinaryOp::pow && scalar == 2 && !reversed) return unary(queue, static_cast<int32_t>(UnaryOp::square), src, out, 0, 0);
  Issue issue(queue);
  if (onIntegers(op, *src, *out) && isInt64(scalar)) runScalar<int64_t>(issue, kind, *src, static_cast<int64_t>(scalar), reversed, *out);
  else runScalar<float>(issue, kind, *src, static_cast<float>(scalar), reversed, *out);
  return issue.finish();
}

Status where(Queue* queue, const View* condition, const View* a, const View* b, const View* out) {
  Issue issue(queue);
  const auto loop = makeLoop({out, condition, a, b});
  const Operand test(*condition), left(*a), right(*b), target(*out);
  const int bytes = elementBytes(*out);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[4];
    loop.place(i, at);
    const bool first = static_cast<const uint8_t*>(test.data)[at[1]] != 0;
    moveElement(target.data, at[0], first ? left.data : right.data, first ? at[2] : at[3], bytes);
  });
  return issue.finish();
}

}  // namespace quanto::cuda
