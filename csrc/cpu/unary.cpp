#include "elements.h"
#include "elementwise.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

bool isCheap(UnaryOp op) {
  switch (op) {
    case UnaryOp::exp:
    case UnaryOp::log:
    case UnaryOp::sin:
    case UnaryOp::cos:
    case UnaryOp::tanh:
    case UnaryOp::erf:
    case UnaryOp::sigmoid:
    case UnaryOp::silu:
    case UnaryOp::gelu:
    case UnaryOp::geluTanh:
    case UnaryOp::geluGrad:
    case UnaryOp::geluTanhGrad:
    case UnaryOp::siluGrad:
      return false;
    default:
      return true;
  }
}

template <class T, class R>
void run(UnaryOp op, const View& src, const View& out, T a, T b) {
  const auto loop = makeLoop({&out, &src});
  const Writer<R> writer(out, loop.innerStride(0), isCheap(op) && writesPast(out, src));
  const Reader<T> reader(src, loop.innerStride(1));
  const UnaryLoop<T> row = elementwiseLoops<T>().unary[static_cast<int>(op)];
  const int64_t longest = reader.direct() && writer.direct() ? loop.count : kBlock;
  const auto body = [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    T values[kBlock];
    R results[kBlock];
    R* target = writer.target(offsets[0], results);
    row(reader.read(offsets[1], n, values), target, n, a, b);
    writer.write(offsets[0], n, target);
  };
  forEachRunParallel(loop, isCheap(op) ? kCheapGrain : kCostlyGrain, longest, body, writer.past());
}

// Codes have loops of their own, for int64 is eight times the work. False where these do not serve.
bool runCodes(UnaryOp op, const View& src, const View& out, int64_t a, int64_t b) {
  if (dtypeOf(src) != DType::int8 || dtypeOf(out) != DType::int8) return false;
  // A bound beyond the codes on its own side bounds nothing; on the other side every result is that bound, wrapped around.
  if (a > INT8_MAX || b < INT8_MIN) return false;
  const auto low = static_cast<int8_t>(std::max<int64_t>(a, INT8_MIN)), high = static_cast<int8_t>(std::min<int64_t>(b, INT8_MAX));
  const auto loop = makeLoop({&out, &src});
  if (loop.innerStride(0) != 1 || loop.innerStride(1) != 1) return false;
  const UnaryLoop<int8_t> row = codeLoops().unary[static_cast<int>(op)];
  forEachRunParallel(loop, 4 * kCheapGrain, loop.count, [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    row(static_cast<const int8_t*>(src.data) + offsets[1], static_cast<int8_t*>(out.data) + offsets[0], n, low, high);
  });
  return true;
}

}  // namespace

Status unary(Queue*, int32_t op, const View* src, const View* out, double a, double b) {
  const auto kind = static_cast<UnaryOp>(op);
  const Result result = kUnaryResults[op];
  // Integers stay integers only where the result is one too: the op may ask for float32.
  const bool integers = !isReal(dtypeOf(*src)) && result != Result::real && !isReal(dtypeOf(*out));
  if (integers) {
    if (result == Result::boolean) run<int64_t, uint8_t>(kind, *src, *out, toInteger(a), toInteger(b));
    else if (!runCodes(kind, *src, *out, toInteger(a), toInteger(b))) run<int64_t, int64_t>(kind, *src, *out, toInteger(a), toInteger(b));
  } else {
    if (result == Result::boolean) run<float, uint8_t>(kind, *src, *out, static_cast<float>(a), static_cast<float>(b));
    else run<float, float>(kind, *src, *out, static_cast<float>(a), static_cast<float>(b));
  }
  return Status::ok;
}

}  // namespace quanto::cpu
