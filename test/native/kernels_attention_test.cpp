// Attention on the CPU, on one thread and on three.
#include "attention_cases.h"
#include "every_isa.h"

using namespace quanto;
using namespace test;

namespace {

void run(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor* mask, const Tensor* scoreScale, Tensor& out,
         double scale, bool causal, int64_t diagonal) {
  const auto viewOf = [](const Tensor* tensor) { return tensor ? static_cast<const View*>(*tensor) : nullptr; };
  onThreads("attention", out, [&](Tensor& target) {
    return cpu::attention(nullptr, query, key, value, viewOf(mask), viewOf(scoreScale), target, scale, causal, diagonal);
  });
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  attention::testSizes(120, run);
  attention::testEmpty(run);
  return check::report("kernels_attention_test");
}
