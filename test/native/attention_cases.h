// Attention of random sizes, layouts, masks and dtypes against sums in double: the same cases for every device.
#pragma once

#include <algorithm>

#include "test_tensor.h"

namespace test::attention {

inline check::Random random_(11);

inline int64_t below(int64_t end) { return random_.bits() % static_cast<uint32_t>(end); }

// Of one key, of less than a tile, around a tile, and of several blocks.
inline int64_t randomSize() {
  const int64_t most[] = {4, 40, 70, 300};
  return 1 + below(most[below(4)]);
}

enum class Masked { no, bias, hidden };

struct Sizes {
  int64_t batch, shared, group, length, keys, width, valueWidth;
  int64_t heads() const { return shared * group; }
};

inline Order randomOrder() { return below(2) ? Order::strided : Order::dense; }

// [B, H, L, S] with some dims repeated.
inline void repeat(Tensor& mask) {
  for (int dim = 0; dim < 4; ++dim) {
    if (below(2)) mask.view().strides[dim] = 0;
  }
}

// Which operands are int8 codes: none, query and key, or all three.
enum class Codes { no, scores, all };

// Null where there is none.
struct Scales {
  const Tensor *score = nullptr, *value = nullptr;
};

// run(query, key, value, mask, scales, out, scale, causal, diagonal) calls the slot; mask is null where there is none.
template <class Run>
void attentionCase(const Sizes& at, DType dtype, Codes codes, Masked masked, bool causal, int64_t diagonal, const Run& run) {
  const DType operand = codes == Codes::no ? dtype : DType::int8;
  Tensor query(operand, {at.batch, at.heads(), at.length, at.width}, randomOrder());
  Tensor key(operand, {at.batch, at.shared, at.keys, at.width}, randomOrder());
  Tensor value(codes == Codes::all ? DType::int8 : dtype, {at.batch, at.shared, at.keys, at.valueWidth}, randomOrder());
  Tensor mask(masked == Masked::hidden ? DType::boolean : dtype, {at.batch, at.heads(), at.length, at.keys}, randomOrder());
  Tensor scoreScale(DType::float32, {1}), valueScale(DType::float32, {1}),
      out(dtype, {at.batch, at.heads(), at.length, at.valueWidth}, randomOrder());
  for (Tensor* each : {&query, &key, &value, &mask}) each->randomize(random_, 1);
  repeat(mask);
  const double factor = codes == Codes::no ? 0.7 : 0.001, valueFactor = codes == Codes::all ? 0.0625 : 1;
  scoreScale.set(0, factor);
  valueScale.set(0, valueFactor);
  const Scales scales{codes == Codes::no ? nullptr : &scoreScale, codes == Codes::all ? &valueScale : nullptr};
  run(query, key, value, masked == Masked::no ? nullptr : &mask, scales, out, codes == Codes::no ? factor : 1, causal, diagonal);

  const std::vector<double> q = query.values(), k = key.values(), v = value.values(), m = mask.values();
  std::vector<double> weights(static_cast<size_t>(at.keys));
  const auto weigh = [&](int64_t row) {
    const int64_t head = row / at.length, place = row % at.length,
                  sharedHead = head / at.heads() * at.shared + head % at.heads() / at.group;
    double largest = -kInfinity, sum = 0;
    for (int64_t s = 0; s < at.keys; ++s) {
      double score = 0;
      for (int64_t e = 0; e < at.width; ++e) score += q[row * at.width + e] * k[(sharedHead * at.keys + s) * at.width + e];
      score *= static_cast<float>(factor);
      if (masked == Masked::bias) score += m[row * at.keys + s];
      if ((masked == Masked::hidden && m[row * at.keys + s] == 0) || (causal && s > place + diagonal)) score = -kInfinity;
      weights[s] = score;
      largest = std::max(largest, score);
    }
    for (double& weight : weights) sum += weight = largest == -kInfinity ? 0 : std::exp(weight - largest);
    for (double& weight : weights) weight /= sum > 0 ? sum : 1;
    return sharedHead;
  };
  int64_t weighed = -1, sharedHead = 0;
  const auto expected = [&](int64_t i) {
    const int64_t row = i / at.valueWidth;
    if (row != weighed) sharedHead = weigh(weighed = row);
    double sum = 0;
    for (int64_t s = 0; s < at.keys; ++s) sum += weights[s] * v[(sharedHead * at.keys + s) * at.valueWidth + i % at.valueWidth];
    return sum * valueFactor;
  };
  // The sums of a row and of its weights.
  checkEach("attention", out, 32 + static_cast<double>(at.width + at.keys) / 4, expected, 1);
}

template <class Run>
void testSizes(int rounds, const Run& run) {
  for (int round = 0; round < rounds; ++round) {
    const Sizes at{1 + below(2), 1 + below(3), 1 + below(3), randomSize(), randomSize(), 1 + below(70), 1 + below(70)};
    const DType dtype = kFloats[below(4) ? 0 : below(3)];
    const int64_t diagonal = below(2) ? 0 : below(at.length + 2 * at.keys) - at.length;
    attentionCase(at, dtype, static_cast<Codes>(std::max<int64_t>(0, below(5) - 2)), static_cast<Masked>(below(3)), below(3) == 0, diagonal,
                  run);
  }
}

template <class Run>
void testEmpty(const Run& run) {
  for (const Sizes& at : {Sizes{0, 1, 1, 2, 2, 2, 2}, Sizes{1, 1, 1, 0, 2, 2, 2}, Sizes{1, 2, 2, 3, 0, 2, 2}, Sizes{1, 1, 1, 20, 0, 2, 2},
                          Sizes{1, 1, 1, 20, 5, 0, 2}, Sizes{1, 1, 1, 2, 5, 2, 0}}) {
    for (const Codes codes : {Codes::no, Codes::all}) attentionCase(at, DType::float32, codes, Masked::no, false, 0, run);
  }
}

}  // namespace test::attention
