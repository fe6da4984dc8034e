// Copies past the caches at every alignment, and ops whose results are large enough to be written so.
#include "cpu/bypass.h"

#include "ops/binary.h"
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

template <class Expected>
void agrees(const char* what, const Tensor& result, const std::vector<float>& src, Expected&& expected) {
  const auto values = valuesOf<float>(result);
  size_t wrong = 0;
  for (size_t i = 0; i < values.size(); ++i) wrong += values[i] != expected(src[i]);
  CHECK(values.size() == src.size() && wrong == 0, "%s: %zu of %zu values are wrong", what, wrong, values.size());
}

void results() {
  int64_t columns = 1001;
  while (kRows * columns < int64_t{1} << 26 && !cpu::bypassesCaches(kRows * columns * 4)) columns += 50000;
  if (!cpu::bypassesCaches(kRows * columns * 4)) {
    std::printf("results: skipped, none that a test can afford goes past this machine's caches\n");
    return;
  }
  const Tensor src = rows(columns);
  const auto values = valuesOf<float>(src);
  agrees("relu", ops::unary(static_cast<int64_t>(UnaryOp::relu), src, 0, 0), values, [](float x) { return x > 0 ? x : 0; });
  agrees("x + x", ops::binary(static_cast<int64_t>(BinaryOp::add), src, src), values, [](float x) { return x + x; });
  agrees("a copy", ops::contiguous(src), values, [](float x) { return x; });
  const Tensor widened = ops::toDType(ops::toDType(src, DType::bfloat16), DType::float32);
  agrees("bfloat16", widened, values, [](float x) { return x; });
  // Columns that are whole vectors, and not.
  for (const int64_t width : {columns / 4 * 4, columns}) {
    const Tensor wide = ops::slice(src, 1, 0, width, 1);
    const Tensor turned = ops::contiguous(ops::permute(ops::reshape(wide, {2, kRows / 2, width}), {0, 2, 1}));
    agrees("planes transposed twice", ops::permute(turned, {0, 2, 1}), valuesOf<float>(wide), [](float x) { return x; });
    const Tensor back = ops::contiguous(ops::permute(turned, {0, 2, 1}));
    agrees("planes transposed back", back, valuesOf<float>(wide), [](float x) { return x; });
  }
  const Tensor changed = ops::contiguous(src);
  ops::addInPlace(changed, src);
  agrees("x += x", changed, values, [](float x) { return x + x; });
}

}  // namespace

int main() {
  Environment environment(false);
  const Environment::Scope scope(environment);
  copies();
  results();
  return check::report("bypass_test");
}
