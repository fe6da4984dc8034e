// Few queries against many keys, as when a model makes one token after another: keys and values are read once, where they lie.
#include <cmath>

#include "attention.h"
#include "attention_loops.h"

namespace quanto::cpu {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kMostRows = 8;

class FewRows {
 public:
  FewRows(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const RowMemory& plan, char* memory)
      : call_(call), kernel_(call.kernel), place_(place), first_(first), rows_(end - first) {
    const auto at = [memory](int64_t offset) { return reinterpret_cast<float*>(memory + offset); };
    query_ = at(plan.query);
    scores_ = at(plan.scores);
    sums_ = at(plan.sums);
    part_ = at(plan.part);
    key_ = at(plan.key);
    value_ = at(plan.value);
    mask_ = at(plan.mask);
  }

  void run() {
    const int64_t width = call_.width(), valueWidth = call_.valueWidth();
    for (int64_t i = 0; i < rows_; ++i) {
      float* query = query_ + i * width;
      widen(kernel_, call_.query.data, dtypeOf(call_.query), place_.ofRow(call_, call_.query, first_ + i), call_.query.strides[3], width,
            query);
      for (int64_t l = 0; l < width; ++l) query[l] *= call_.queryScale;
      largest_[i] = -INFINITY;
      weight_[i] = 0;
    }
    std::fill_n(sums_, rows_ * valueWidth, 0.0f);
    const Pieces blocks = call_.keyBlocks();
    const int64_t visible = call_.mostVisible(first_, first_ + rows_);
    for (int64_t block = 0; block < blocks.pieces && blocks.begin(block) < visible; ++block) {
      const int64_t firstKey = blocks.begin(block), n = std::min(blocks.begin(block + 1), visible) - firstKey;
      const FloatRows keys = floatRows(kernel_, call_.key, place_.ofKey(call_.key, firstKey), n, key_);
      kernel_.dot(rows_, n, width, query_, width, keys.data, keys.stride, scores_, n, false);
      for (int64_t i = 0; i < rows_; ++i) weigh(i, firstKey, n);
      const FloatRows values = floatRows(kernel_, call_.value, place_.ofKey(call_.value, firstKey), n, value_);
      kernel_.stream(rows_, valueWidth, n, scores_, n, values.data, values.stride, part_, valueWidth);
      for (int64_t i = 0; i < rows_ * valueWidth; ++i) sums_[i] += part_[i];
    }
    for (int64_t i = 0; i < rows_; ++i) finish(i);
  }

 private:
  // Scores to weights, with the running maximum and sum of attention_loops.h.
  void weigh(int64_t i, int64_t firstKey, int64_t n) {
    float* scores = scores_ + i * n;
    if (call_.scoreScale) {
      const float factor = *call_.scoreScale;
      for (int64_t key = 0; key < n; ++key) scores[key] *= factor;
    }
    if (call_.mask) applyMask(i, firstKey, n);
    const int64_t visible = std::clamp<int64_t>(call_.visible(first_ + i) - firstKey, 0, n);
    std::fill(scores + visible, scores + n, -INFINITY);

    const float factor = attentionLoops().weighRow(scores, n, &largest_[i], &weight_[i]);
    if (factor != 1) scale(i, factor);
  }

  void applyMask(int64_t i, int64_t firstKey, int64_t n) const {
    const View& mask = *call_.mask;
    const int64_t offset = place_.ofRow(call_, mask, first_ + i) + firstKey * mask.strides[3];
    widen(kernel_, mask.data, dtypeOf(mask), offset, mask.strides[3], n, mask_);
    const bool hides = dtypeOf(mask) == DType::boolean;
    (hides ? attentionLoops().hideMasked : attentionLoops().addMask)(scores_ + i * n, mask_, n);
  }

  void scale(int64_t i, float factor) const {
    float* sums = sums_ + i * call_.valueWidth();
    for (int64_t l = 0; l < call_.valueWidth(); ++l) sums[l] *= factor;
  }

  void finish(int64_t i) const {
    const View& out = call_.out;
    scale(i, weight_[i] == 0 ? call_.unweighted(first_ + i) : 1 / weight_[i]);
    narrow(kernel_, sums_ + i * call_.valueWidth(), call_.valueWidth(), out.data, dtypeOf(out), place_.ofRow(call_, out, first_ + i),
           out.strides[3]);
  }

  const Attention& call_;
  const FloatKernel& kernel_;
  const SharedHead& place_;
  const int64_t first_, rows_;
  float *query_, *scores_, *sums_, *part_, *key_, *value_, *mask_;
  float largest_[kMostRows], weight_[kMostRows];
};

}  // namespace

int64_t fewRows(const FloatKernel& kernel) { return std::min<int64_t>(kMostRows, kernel.columns / 4); }

RowMemory planRows(const Attention& call) {
  const int64_t rows = kMostRows, keys = call.keyBlocks().largest();
  BufferPlan plan;
  RowMemory memory{};
  memory.query = plan.add(rows * call.width() * kFloat);
  memory.scores = plan.add(rows * keys * kFloat);
  memory.sums = plan.add(rows * call.valueWidth() * kFloat);
  memory.part = plan.add(rows * call.valueWidth() * kFloat);
  memory.key = plan.add(isPlain(call.key) ? 0 : keys * call.width() * kFloat);
  memory.value = plan.add(isPlain(call.value) ? 0 : keys * call.valueWidth() * kFloat);
  memory.mask = plan.add(call.mask ? keys * kFloat : 0);
  memory.bytes = plan.bytes;
  return memory;
}

void runRows(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const RowMemory& plan, char* memory) {
  FewRows(call, place, first, end, plan, memory).run();
}

}  // namespace quanto::cpu
