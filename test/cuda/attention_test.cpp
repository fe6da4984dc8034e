// Attention on the emulated device, against sums in double.
#include "../../cuda/emulator/runtime.h"
#include "../native/attention_cases.h"
#include "on_device.h"

using namespace quanto;
using namespace test;

namespace {

void run(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor* mask, attention::Scales scales, Tensor& out,
         double scale, bool causal, int64_t diagonal) {
  // Memory that 16 bytes at a time cannot be read from.
  const size_t offset = attention::below(4) == 0 ? sizeOf(value.dtype()) : 0;
  const OnDevice q(query), k(key, scales.score ? 0 : offset), v(value, offset), target(out);
  const MaybeOnDevice m(mask), score(scales.score), valueScale(scales.value);
  CHECK(device().attention(queue, q, k, v, m, score, valueScale, target, scale, causal, diagonal) == Status::ok, "attention failed");
  target.read(out);
}

// Of few queries, whose keys are shared out among blocks, and of wide rows: everything that a kernel has in strips, more than once.
void testStrips() {
  using attention::Codes, attention::Masked, attention::Sizes;
  const Sizes sizes[] = {{1, 2, 8, 1, 1000, 64, 64}, {2, 1, 4, 2, 129, 256, 256}, {1, 1, 1, 1, 1000, 128, 1},  {2, 2, 1, 1, 260, 4, 9},
                         {1, 1, 3, 1, 127, 17, 33},  {1, 1, 1, 8, 65, 50, 7},     {1, 1, 1, 1, 9000, 3, 5},    {1, 1, 1, 2, 70, 1024, 15},
                         {1, 1, 1, 2, 50, 63, 257},  {1, 1, 1, 65, 65, 130, 130}, {1, 1, 2, 33, 127, 63, 260}, {2, 1, 2, 64, 64, 64, 64},
                         {1, 1, 2, 33, 127, 63, 50}, {1, 2, 1, 65, 130, 128, 128}};
  for (const Sizes& at : sizes) {
    for (const DType dtype : kFloats) {
      attention::attentionCase(at, dtype, Codes::no, Masked::no, false, 0, run);
      attention::attentionCase(at, dtype, Codes::no, Masked::bias, true, at.keys - at.length, run);
      attention::attentionCase(at, dtype, Codes::scores, Masked::hidden, true, at.keys / 2, run);
      attention::attentionCase(at, dtype, Codes::all, Masked::bias, true, at.keys / 2, run);
    }
  }
}

// Of few queries, and of enough for tiles: what is hidden is as if it were not there, and NaN stays where it is.
void testHiddenAndNaN() {
  constexpr int64_t kKeys = 150, kWidth = 8;
  for (const int64_t length : {2, 40}) {
    const Shape queries{1, 1, length, kWidth}, keys{1, 1, kKeys, kWidth}, scores{1, 1, length, kKeys};
    Tensor query(DType::float32, queries), key(DType::float32, keys), value(DType::float32, keys), out(DType::float32, queries);
    Tensor hidden(DType::boolean, scores), lowest(DType::float32, scores);
    for (Tensor* each : {&query, &key, &value}) each->randomize(attention::random_);
    lowest.fill([](int64_t) { return -kInfinity; });
    hidden.fill([](int64_t) { return 0; });
    run(query, key, value, &hidden, {}, out, 1, false, 0);
    checkEach("attention to nothing", out, 0, [](int64_t) { return 0; });
    run(query, key, value, nullptr, {}, out, 1, true, -length);
    checkEach("attention before the first key", out, 0, [](int64_t) { return 0; });
    run(query, key, value, &lowest, {}, out, 1, false, 0);
    checkEach("attention with scores of -infinity", out, 0, [](int64_t) { return kNaN; });

    // Key 3 is hidden, and query 1 has no number.
    hidden.fill([](int64_t i) { return i % kKeys != 3; });
    Tensor poisoned(query), poisonedKey(key), wanted(DType::float32, queries);
    run(query, key, value, &hidden, {}, wanted, 1, false, 0);
    for (int64_t i = 0; i < kWidth; ++i) {
      poisoned.set(kWidth + i, kNaN);
      poisonedKey.set(3 * kWidth + i, kNaN);
    }
    run(poisoned, poisonedKey, value, &hidden, {}, out, 1, false, 0);
    checkEach("attention beside NaN", out, 0, [&](int64_t i) { return i / kWidth == 1 ? kNaN : wanted[i]; });
  }
}

// Tiles of queries need no memory but their operands'.
void testMemory() {
  Tensor query(DType::float32, {1, 3, 90, 4}), out(query);
  query.randomize(attention::random_);
  const OnDevice q(query), target(out);
  const size_t before = emulator::liveDeviceBytes();
  CHECK(device().attention(queue, q, q, q, nullptr, nullptr, nullptr, target, 0.5, 1, 0) == Status::ok, "attention failed");
  CHECK(emulator::liveDeviceBytes() == before, "attention took %zu bytes", emulator::liveDeviceBytes() - before);
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
  run(query, key, value, nullptr, {&scoreScale}, out, 1, false, 0);
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
  testStrips();
  testHiddenAndNaN();
  testMemory();
  testExactScores();
  CHECK(emulator::takeComplaints() == nullptr, "attention misuses nothing");
  device().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "%zu bytes are left", emulator::liveDeviceBytes());
  return check::report("attention");
}
