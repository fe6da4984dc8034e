// Copies past the caches at every alignment, and ops whose results are large enough to go there.
#include "cpu/bypass.h"

#include "ops/binary.h"
#include "ops/norm.h"
#include "ops/unary.h"
#include "tensors.h"

using namespace quanto;
using namespace check;

namespace {

void copies() {
  constexpr int kRoom = 200;
  constexpr unsigned char kUntouched = 0xee;
  unsigned char from[kRoom];
  for (int i = 0; i < kRoom; ++i) from[i] = static_cast<unsigned char>(i + 1);
  for (int to = 0; to < 17; ++to) {
    for (int at = 0; at < 17; ++at) {
      for (int n = 0; n <= 80; ++n) {
        unsigned char target[kRoom];
        std::memset(target, kUntouched, sizeof target);
        cpu::copyPastCaches(target + to, from + at, n);
        cpu::finishBypass();
        bool right = true;
        for (int i = 0; i < kRoom; ++i) right = right && target[i] == (i >= to && i < to + n ? from[at + i - to] : kUntouched);
        if (!CHECK(right, "%d bytes from place %d to place %d", n, at, to)) return;
      }
    }
  }
}

// Rows of floats, small whole numbers; a slice begins in the middle of a vector.
constexpr int64_t kRows = 40;
Tensor rows(int64_t columns) {
  std::vector<float> values(static_cast<size_t>(kRows * columns + 1));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 20) % 9 - 4);
  const Tensor all = make(values, {static_cast<int64_t>(values.size())}, DType::float32);
  return ops::reshape(ops::slice(all, 0, 1, static_cast<int64_t>(values.size()), 1), {kRows, columns});
}

void agrees(const char* what, const Tensor& result, const std::vector<float>& expected) {
  const auto values = valuesOf<float>(result);
  CHECK(values == expected, "%s has other values", what);
}

// An op that treats each row by itself: all rows at once against a few at a time, whose results stay in the caches.
template <class Op>
void rowByRow(const char* what, const Tensor& src, Op op) {
  constexpr int64_t kParts = 4;
  const auto all = valuesOf<float>(op(src));
  std::vector<float> parts;
  for (int64_t part = 0; part < kParts; ++part) {
    const auto values = valuesOf<float>(op(ops::slice(src, 0, part * kRows / kParts, (part + 1) * kRows / kParts, 1)));
    parts.insert(parts.end(), values.begin(), values.end());
  }
  CHECK(all == parts, "%s has other values for %lld columns", what, static_cast<long long>(src.shape()[1]));
}

void opsOfRows(const Tensor& src) {
  const auto row = ops::contiguous(ops::slice(src, 0, 0, 1, 1));
  const auto vector = ops::reshape(row, {row.shape()[1]});
  const auto unaryOf = [](UnaryOp op) { return [op](const Tensor& x) { return ops::unary(static_cast<int64_t>(op), x, -1, 2); }; };
  rowByRow("neg", src, unaryOf(UnaryOp::neg));
  rowByRow("clamp", src, unaryOf(UnaryOp::clamp));
  rowByRow("exp", src, unaryOf(UnaryOp::exp));
  rowByRow("twice itself", src, [](const Tensor& x) { return ops::binary(static_cast<int64_t>(BinaryOp::add), x, x); });
  rowByRow("times a row", src, [&](const Tensor& x) { return ops::binary(static_cast<int64_t>(BinaryOp::mul), x, row); });
  rowByRow("less a column", src,
           [](const Tensor& x) { return ops::binary(static_cast<int64_t>(BinaryOp::sub), x, ops::slice(x, 1, 3, 4, 1)); });
  rowByRow("less than a number", src, [](const Tensor& x) { return ops::binaryScalar(static_cast<int64_t>(BinaryOp::sub), x, 3, true); });
  rowByRow("layer norm", src, [&](const Tensor& x) { return ops::layerNorm(x, vector, vector, 1, 1e-5)[0]; });
  rowByRow("rms norm", src, [&](const Tensor& x) { return ops::rmsNorm(x, vector, 1e-5)[0]; });
  const auto spread = ops::unary(static_cast<int64_t>(UnaryOp::abs), vector, 0, 0);
  rowByRow("batch norm", src, [&](const Tensor& x) { return ops::batchNorm(x, vector, spread, vector, vector, 1e-5); });
  rowByRow("softmax", src, [](const Tensor& x) { return ops::softmax(x, 1); });
  rowByRow("softmax's gradient", src, [](const Tensor& x) { return ops::softmaxBackward(x, x, 1); });
}

void results() {
  int64_t columns = 50001;
  while (kRows * columns < int64_t{1} << 26 && !cpu::bypassesCaches(kRows * columns * 4)) columns += 50000;
  if (!cpu::bypassesCaches(kRows * columns * 4)) {
    std::printf("results: skipped, none that a test can afford goes past this machine's caches\n");
    return;
  }
  const Tensor src = rows(columns);
  const auto values = valuesOf<float>(src);
  agrees("a copy", ops::contiguous(src), values);
  // Columns that are whole cache lines, and not.
  for (const int64_t width : {columns / 16 * 16, columns}) {
    const Tensor wide = ops::slice(src, 1, 0, width, 1);
    opsOfRows(wide);
    const Tensor turned = ops::contiguous(ops::permute(ops::reshape(wide, {2, kRows / 2, width}), {0, 2, 1}));
    agrees("planes transposed twice", ops::permute(turned, {0, 2, 1}), valuesOf<float>(wide));
    const Tensor back = ops::contiguous(ops::permute(turned, {0, 2, 1}));
    agrees("planes transposed back", back, valuesOf<float>(wide));
  }
}

}  // namespace

int main() {
  Environment environment(false);
  const Environment::Scope scope(environment);
  copies();
  results();
  return check::report("bypass_test");
}
