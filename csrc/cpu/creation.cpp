#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

template <class T>
T convert(double value) {
  if constexpr (std::is_same_v<T, int64_t>) return toInteger(value);
  else return static_cast<T>(value);
}

// Writes value(i) to the i-th element in row-major order.
template <class T, class Value>
void generate(const View& out, Value&& value) {
  const auto loop = makeLoop({&out});
  const Writer<T> writer(out, loop.innerStride(0));
  forEachRunParallel(loop, kCheapGrain, kBlock, [&](int64_t index, const int64_t(&offsets)[1], int64_t n) {
    T buffer[kBlock];
    T* target = writer.target(offsets[0], buffer);
    for (int64_t i = 0; i < n; ++i) target[i] = convert<T>(value(index + i));
    writer.write(offsets[0], n, target);
  });
}

template <class Value>
Status generateAny(const View& out, Value&& value) {
  if (isReal(dtypeOf(out))) generate<float>(out, value);
  else generate<int64_t>(out, value);
  return Status::ok;
}

}  // namespace

Status fill(Queue*, const View* out, double value) {
  if (dtypeOf(*out) == DType::boolean) value = value != 0;
  return generateAny(*out, [=](int64_t) { return value; });
}

Status arange(Queue*, const View* out, double start, double step) {
  return generateAny(*out, [=](int64_t i) { return start + static_cast<double>(i) * step; });
}

}  // namespace quanto::cpu
