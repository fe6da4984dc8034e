#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

Status fill(Queue* queue, const View* out, double value) {
  Issue issue(queue);
  if (dtypeOf(*out) == DType::boolean) value = value != 0;
  const auto loop = makeLoop({out});
  const Operand target(*out);
  const bool real = isReal(target.dtype);
  const auto number = static_cast<float>(value);
  const int64_t integer = toInteger(value);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[1];
    loop.place(i, at);
    if (real) target.set(at[0], number);
    else target.set(at[0], integer);
  });
  return issue.finish();
}

Status arange(Queue* queue, const View* out, double start, double step) {
  Issue issue(queue);
  const auto loop = makeLoop({out});
  const Operand target(*out);
  const bool real = isReal(target.dtype);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[1];
    loop.place(i, at);
    const double value = start + static_cast<double>(i) * step;
    if (real) target.set(at[0], static_cast<float>(value));
    else target.set(at[0], toInteger(value));
  });
  return issue.finish();
}

}  // namespace quanto::cuda
