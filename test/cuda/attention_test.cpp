// Attention on the emulated device, against sums in double.
#include "../../cuda/emulator/runtime.h"
#include "../native/attention_cases.h"
#include "on_device.h"

using namespace quanto;
using namespace test;

namespace {

void run(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor* mask, const Tensor* scoreScale, Tensor& out,
         double scale, bool causal, int64_t diagonal) {
  // Memory that 16 bytes at a time cannot be read from.
  const size_t offset = attention::below(4) == 0 ? sizeOf(value.dtype()) : 0;
  const OnDevice q(query), k(key, scoreScale ? 0 : offset), v(value, offset), target(out);
  const MaybeOnDevice m(mask), factor(scoreScale);
  CHECK(device().attention(queue, q, k, v, m, factor, target, scale, causal, diagonal) == Status::ok, "attention failed");
  target.read(out);
}

// Sums that differ by one where float32 holds no more digits, made so far apart that the largest takes all.
void testExactScores() {
  constexpr int64_t kLength = 9, kKeys = 100, kWidth = 1024, kValueWidth = 5;
  Tensor query(DType::int8, {1, 1, kLength, kWidth}), key(DType::int8, {1, 1, kKeys, kWidth});
  Tensor value(DType::float32, {1, 1, kKeys, kValueWidth}), scoreScale(DType::float32, {1}),
      out(DType::float32, {1, 1, kLength, kValueWidth});
  scoreScale.set(0, 64);
  value.randomize(attention::random_);
  // The first code of a key tells it apart: it is largest in key 63, and smallest, which odd queries want, in key 64.
  query.fill([](int64_t i) { return i % kWidth > 0 ? 127 : i / kWidth % 2 == 0 ? 1 : -1; });
  key.fill([](int64_t i) { return i % kWidth > 0 ? 127 : (i / kWidth + 36) % kKeys - 50; });
  run(query, key, value, nullptr, &scoreScale, out, 1, false, 0);
  checkEach("attention of exact scores", out, 0, [&](int64_t i) {
    const int64_t wanted = i / kValueWidth % 2 == 0 ? 63 : 64;
    return value[wanted * kValueWidth + i % kValueWidth];
  });
}

}  // namespace

int main() {
  unsetenv("QUANTO_VISIBLE_DEVICES");
  queue = device().openQueue(0);
  attention::testSizes(120, run);
  attention::testEmpty(run);
  testExactScores();
  CHECK(emulator::takeComplaints() == nullptr, "attention misuses nothing");
  device().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "%zu bytes are left", emulator::liveDeviceBytes());
  return check::report("attention");
}
