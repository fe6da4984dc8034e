// Attention on the CPU, on one thread and on three.
#include "attention_cases.h"
#include "cpu/attention_loops.h"
#include "cpu/gemm/workspace.h"
#include "cpu/vector_math.h"
#include "every_isa.h"

using namespace quanto;
using namespace test;

namespace {

void run(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor* mask, attention::Scales scales, Tensor& out,
         double scale, bool causal, int64_t diagonal) {
  const auto viewOf = [](const Tensor* tensor) { return tensor ? static_cast<const View*>(*tensor) : nullptr; };
  onThreads("attention", out, [&](Tensor& target) {
    return cpu::attention(nullptr, query, key, value, viewOf(mask), viewOf(scales.score), viewOf(scales.value), target, scale, causal,
                          diagonal);
  });
}

// One row of attention by codes as attention_codes.cpp has it, with integers of 64 bits: the bits of every instruction set.
std::vector<float> codesRow(const std::vector<float>& scores, const std::vector<int>& values, int64_t columns, float valueScale) {
  const int64_t keys = static_cast<int64_t>(scores.size());
  const cpu::Pieces blocks(keys, 128);
  float largest = -kInfinity, sum = 0;
  std::vector<float> results(columns);
  for (int64_t block = 0; block < blocks.pieces; ++block) {
    const int64_t first = blocks.begin(block), end = blocks.begin(block + 1);
    const float top = *std::max_element(scores.begin() + first, scores.begin() + end);
    std::vector<int64_t> weights;
    for (int64_t key = first; key < end; ++key)
      weights.push_back(std::llrint(double{cpu::math::expFlushed(scores[key] - top)} * cpu::kWeightOne));
    const float highest = std::max(top, largest), keep = cpu::math::expFlushed(largest - highest),
                factor = cpu::math::expFlushed(top - highest) * 0x1p-23f;
    int64_t total = 0;
    for (const int64_t weight : weights) total += weight;
    sum = sum * keep + static_cast<float>(total) * factor;
    largest = highest;
    for (int64_t j = 0; j < columns; ++j) {
      // The three sums of digits, of which the two lower ones are joined first.
      int64_t high = 0, low = 0;
      for (int64_t key = first; key < end; ++key) {
        const int64_t digit = (weights[key - first] + 0x8080) >> 16;
        high += digit * values[key * columns + j];
        low += (weights[key - first] - (digit << 16)) * values[key * columns + j];
      }
      const float number = std::fma(static_cast<float>(high), 65536.0f, static_cast<float>(low));
      results[j] = std::fma(results[j], keep, number * factor);
    }
  }
  for (float& result : results) result *= valueScale / sum;
  return results;
}

// Codes of the whole range, in one block and several.
void testCodesExactly() {
  constexpr int64_t kLength = 35, kColumns = 21;
  for (const int64_t keys : {1, 7, 63, 127, 128, 129, 500}) {
    for (const int64_t width : {1, 33, 128, 1024}) {
      Tensor query(DType::int8, {1, 1, kLength, width}), key(DType::int8, {1, 1, keys, width}), value(DType::int8, {1, 1, keys, kColumns});
      Tensor out(DType::float32, {1, 1, kLength, kColumns}), scoreScale(DType::float32, {1}), valueScale(DType::float32, {1});
      for (Tensor* each : {&query, &key, &value})
        each->fill([](int64_t) { return static_cast<double>(attention::random_.bits() % 256) - 128; });
      scoreScale.set(0, 3e-5);
      valueScale.set(0, 0.01);
      run(query, key, value, nullptr, {&scoreScale, &valueScale}, out, 1, false, 0);
      std::vector<int> values;
      for (const double code : value.values()) values.push_back(static_cast<int>(code));
      const std::vector<double> q = query.values(), k = key.values();
      std::vector<float> wanted;
      for (int64_t row = 0; row < kLength; ++row) {
        std::vector<float> scores;
        for (int64_t s = 0; s < keys; ++s) {
          double score = 0;
          for (int64_t e = 0; e < width; ++e) score += q[row * width + e] * k[s * width + e];
          scores.push_back(static_cast<float>(score) * static_cast<float>(scoreScale[0]));
        }
        const std::vector<float> results = codesRow(scores, values, kColumns, static_cast<float>(valueScale[0]));
        wanted.insert(wanted.end(), results.begin(), results.end());
      }
      checkEach("attention by codes", out, 0, [&](int64_t i) { return wanted[i]; });
    }
  }
}

// What is hidden from a row is as if it were not there; a row without keys gives 0, or NaN where -infinity was added, and NaN stays in its
// row.
void testHiddenCodes() {
  constexpr int64_t kLength = 20, kKeys = 150, kWidth = 8;
  const Shape scores{1, 1, kLength, kKeys};
  Tensor query(DType::int8, {1, 1, kLength, kWidth}), key(DType::int8, {1, 1, kKeys, kWidth}), value(key);
  Tensor out(DType::float32, query.shape()), wanted(out), scoreScale(DType::float32, {1}), valueScale(DType::float32, {1});
  for (Tensor* each : {&query, &key, &value}) each->randomize(attention::random_);
  scoreScale.set(0, 0.01);
  valueScale.set(0, 0.5);
  const attention::Scales scales{&scoreScale, &valueScale};
  Tensor hidden(DType::boolean, scores), bias(DType::float32, scores);
  hidden.fill([](int64_t) { return 0; });
  run(query, key, value, &hidden, scales, out, 1, false, 0);
  checkEach("attention to nothing", out, 0, [](int64_t) { return 0; });
  run(query, key, value, nullptr, scales, out, 1, true, -kLength);
  checkEach("attention before the first key", out, 0, [](int64_t) { return 0; });
  bias.fill([](int64_t) { return -kInfinity; });
  run(query, key, value, &bias, scales, out, 1, false, 0);
  checkEach("attention with scores of -infinity", out, 0, [](int64_t) { return kNaN; });

  hidden.fill([](int64_t i) { return i % kKeys != 3; });
  run(query, key, value, &hidden, scales, wanted, 1, false, 0);
  bias.fill([](int64_t i) { return i % kKeys == 3 ? -kInfinity : i / kKeys == 1 && i % kKeys == 140 ? kNaN : 0; });
  for (int64_t i = 0; i < kWidth; ++i) key.set(3 * kWidth + i, 127);
  run(query, key, value, &bias, scales, out, 1, false, 0);
  checkEach("attention beside NaN", out, 0, [&](int64_t i) { return i / kWidth == 1 ? kNaN : wanted[i]; });
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  attention::testSizes(160, run);
  attention::testEmpty(run);
  testCodesExactly();
  testHiddenCodes();
  return check::report("kernels_attention_test");
}
