#include "backend.h"
#include "elementwise.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

// Four float32 values at a time where they lie side by side.
void runDense(Issue& issue, UnaryOp op, const View& src, const View& out, int64_t count, float a, float b) {
  const auto* source = static_cast<const float4*>(src.data);
  auto* target = static_cast<float4*>(out.data);
  issue.forEach(count / 4, [=] QUANTO_DEVICE(int64_t i) {
    const float4 x = source[i];
    target[i] = float4{unaryRow(op, x.x, a, b), unaryRow(op, x.y, a, b), unaryRow(op, x.z, a, b), unaryRow(op, x.w, a, b)};
  });
  const auto* rest = static_cast<const float*>(src.data) + count / 4 * 4;
  auto* restTarget = static_cast<float*>(out.data) + count / 4 * 4;
  issue.forEach(count % 4, [=] QUANTO_DEVICE(int64_t i) { restTarget[i] = unaryRow(op, rest[i], a, b); });
}

template <class T>
void run(Issue& issue, UnaryOp op, const View& src, const View& out, T a, T b) {
  const auto loop = makeLoop({&out, &src});
  const Operand source(src), target(out);
  if constexpr (isFloat<T>) {
    if (loop.isDense() && source.dtype == DType::float32 && target.dtype == DType::float32 && isAligned16(src.data) &&
        isAligned16(out.data))
      return runDense(issue, op, src, out, loop.count, a, b);
  }
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[2];
    loop.place(i, at);
    target.set(at[0], unaryRow(op, source.get<T>(at[1]), a, b));
  });
}

}  // namespace

Status unary(Queue* queue, int32_t op, const View* src, const View* out, double a, double b) {
  Issue issue(queue);
  // Integers stay integers only where the result is one too: the op may ask for float32.
  const bool integers = !isReal(dtypeOf(*src)) && unaryResult(op) != Result::real && !isReal(dtypeOf(*out));
  if (integers) run<int64_t>(issue, static_cast<UnaryOp>(op), *src, *out, toInteger(a), toInteger(b));
  else run<float>(issue, static_cast<UnaryOp>(op), *src, *out, static_cast<float>(a), static_cast<float>(b));
  return issue.finish();
}

}  // namespace quanto::cuda
