#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

Status copy(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  const auto loop = makeLoop({out, src});
  const Operand source(*src), target(*out);
  const int bytes = elementBytes(*out);
  if (source.dtype == target.dtype) {
    if (loop.isDense() && loop.count > 0) {
      issue.note(cudaMemcpyAsync(out->data, src->data, static_cast<size_t>(loop.count) * bytes, cudaMemcpyDeviceToDevice, issue.stream()));
      return issue.finish();
    }
    issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
      int64_t at[2];
      loop.place(i, at);
      moveElement(target.data, at[0], source.data, at[1], bytes);
    });
    return issue.finish();
  }
  const bool real = isReal(source.dtype) || isReal(target.dtype);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[2];
    loop.place(i, at);
    if (real) target.set(at[0], source.get<float>(at[1]));
    else target.set(at[0], source.get<int64_t>(at[1]));
  });
  return issue.finish();
}

}  // namespace quanto::cuda
