#include <cmath>

#include "elements.h"
#include "elementwise.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

int64_t grainOf(BinaryOp op) { return op == BinaryOp::pow ? kCostlyGrain : kCheapGrain; }

template <class T, class R>
void run(BinaryOp op, const View& a, const View& b, const View& out) {
  const auto loop = makeLoop({&out, &a, &b});
  const Writer<R> writer(out, loop.innerStride(0), writesPast(out, a, b));
  const Reader<T> left(a, loop.innerStride(1)), right(b, loop.innerStride(2));
  const BinaryLoop<T> row = elementwiseLoops<T>().binary[static_cast<int>(op)];
  const bool direct = (left.direct() || left.step() == 0) && (right.direct() || right.step() == 0) && writer.direct();
  const auto body = [&](int64_t, const int64_t(&offsets)[3], int64_t n) {
    T x[kBlock], y[kBlock];
    R results[kBlock];
    R* target = writer.target(offsets[0], results);
    row(left.readStep(offsets[1], n, x), left.step(), right.readStep(offsets[2], n, y), right.step(), target, n);
    writer.write(offsets[0], n, target);
  };
  forEachRunParallel(loop, grainOf(op), direct ? loop.count : kBlock, body, writer.past());
}

template <class T, class R>
void runScalar(BinaryOp op, const View& src, T scalar, bool reversed, const View& out) {
  const auto loop = makeLoop({&out, &src});
  const Writer<R> writer(out, loop.innerStride(0), writesPast(out, src));
  const Reader<T> reader(src, loop.innerStride(1));
  const BinaryLoop<T> row = elementwiseLoops<T>().binary[static_cast<int>(op)];
  const int64_t longest = reader.direct() && writer.direct() ? loop.count : kBlock;
  const auto body = [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    T values[kBlock];
    R results[kBlock];
    R* target = writer.target(offsets[0], results);
    const T* x = reader.read(offsets[1], n, values);
    if (reversed) row(&scalar, 0, x, 1, target, n);
    else row(x, 1, &scalar, 0, target, n);
    writer.write(offsets[0], n, target);
  };
  forEachRunParallel(loop, grainOf(op), longest, body, writer.past());
}

// Whether the row is computed on integers: not when its result is real, nor when the op promoted `out` to a real dtype.
bool onIntegers(int32_t op, const View& src, const View& out) {
  return !isReal(dtypeOf(src)) && kBinaryResults[op] != Result::real && !isReal(dtypeOf(out));
}

bool isInt64(double value) { return value == std::floor(value) && std::fabs(value) < 9223372036854775808.0; }

// A choice moves bits, whatever they mean.
template <int64_t bytes>
void choose(const View& condition, const View& a, const View& b, const View& out) {
  using T = BitsOf<bytes>;
  const auto loop = makeLoop({&out, &condition, &a, &b});
  forEachRunParallel(loop, kCheapGrain, loop.count, [&](int64_t, const int64_t(&offsets)[4], int64_t n) {
    T* target = static_cast<T*>(out.data) + offsets[0];
    const uint8_t* test = static_cast<const uint8_t*>(condition.data) + offsets[1];
    const T* x = static_cast<const T*>(a.data) + offsets[2];
    const T* y = static_cast<const T*>(b.data) + offsets[3];
    const int64_t step[] = {loop.innerStride(0), loop.innerStride(1), loop.innerStride(2), loop.innerStride(3)};
    if (step[0] == 1 && step[1] == 1 && step[2] == 1 && step[3] == 1) {
      QUANTO_VECTORIZE
      for (int64_t i = 0; i < n; ++i) target[i] = test[i] ? x[i] : y[i];
    } else {
      for (int64_t i = 0; i < n; ++i) target[i * step[0]] = test[i * step[1]] ? x[i * step[2]] : y[i * step[3]];
    }
  });
}

}  // namespace

Status binary(Queue*, int32_t op, const View* a, const View* b, const View* out) {
  const auto kind = static_cast<BinaryOp>(op);
  const bool boolean = kBinaryResults[op] == Result::boolean;
  if (onIntegers(op, *a, *out)) {
    if (boolean) run<int64_t, uint8_t>(kind, *a, *b, *out);
    else run<int64_t, int64_t>(kind, *a, *b, *out);
  } else {
    if (boolean) run<float, uint8_t>(kind, *a, *b, *out);
    else run<float, float>(kind, *a, *b, *out);
  }
  return Status::ok;
}

Status binaryScalar(Queue* queue, int32_t op, const View* src, double scalar, int32_t reversed, const View* out) {
  const auto kind = static_cast<BinaryOp>(op);
  // By far the most usual power, and many times faster as a product.
  if (kind == BinaryOp::pow && scalar == 2 && !reversed) return unary(queue, static_cast<int32_t>(UnaryOp::square), src, out, 0, 0);
  const bool boolean = kBinaryResults[op] == Result::boolean;
  if (onIntegers(op, *src, *out) && isInt64(scalar)) {
    const auto value = static_cast<int64_t>(scalar);
    if (boolean) runScalar<int64_t, uint8_t>(kind, *src, value, reversed, *out);
    else runScalar<int64_t, int64_t>(kind, *src, value, reversed, *out);
  } else {
    const auto value = static_cast<float>(scalar);
    if (boolean) runScalar<float, uint8_t>(kind, *src, value, reversed, *out);
    else runScalar<float, float>(kind, *src, value, reversed, *out);
  }
  return Status::ok;
}

Status where(Queue*, const View* condition, const View* a, const View* b, const View* out) {
  withElementBytes(dtypeOf(*out), [&](auto bytes) { choose<bytes>(*condition, *a, *b, *out); });
  return Status::ok;
}

}  // namespace quanto::cpu
