#include "attention_query_tiles.h"

#include <cstring>

namespace quanto::cpu {
namespace {

constexpr int64_t kFloat = sizeof(float);

}  // namespace

QueryMemory planQueries(const Attention& call, int64_t columns, int64_t tiles, BufferPlan& plan) {
  const int64_t keys = call.keyBlocks().largest();
  QueryMemory memory{};
  memory.sums = plan.add(tiles * columns * call.valueWidth() * kFloat);
  memory.state = plan.add(tiles * columns * 2 * kFloat);
  memory.scores = plan.add(keys * columns * kFloat);
  memory.mask = plan.add(call.mask ? keys * columns * kFloat : 0);
  memory.factor = plan.add(columns * kFloat);
  memory.limits = plan.add(columns * kFloat);
  // Rows of queries, keys, values, results or the mask, whichever is widened at the time.
  memory.strip = plan.add(
      std::max({keys * std::max({call.width(), call.valueWidth(), columns}), columns * std::max(call.width(), call.valueWidth())}) *
      kFloat);
  return memory;
}

QueryTiles::QueryTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, int64_t columns, const QueryMemory& plan,
                       char* memory)
    : call_(call), place_(place), first_(first), end_(end), columns_(columns) {
  const auto at = [memory](int64_t offset) { return reinterpret_cast<float*>(memory + offset); };
  sums_ = at(plan.sums);
  state_ = at(plan.state);
  scores_ = at(plan.scores);
  mask_ = at(plan.mask);
  factor_ = at(plan.factor);
  limits_ = reinterpret_cast<int32_t*>(memory + plan.limits);
  strip_ = at(plan.strip);
}

void QueryTiles::reset(int64_t tile) const {
  std::fill_n(largestOf(tile), columns_, -__builtin_inff());
  std::fill_n(weightOf(tile), columns_, 0.0f);
}

void QueryTiles::hide(int64_t tile, int64_t n) const {
  if (call_.mask) applyMask(tile, n);
  if (call_.causal) applyCausal(tile, n);
}

void QueryTiles::applyMask(int64_t tile, int64_t n) const {
  const View& mask = *call_.mask;
  const auto read = [&](int64_t row, float* out) {
    const int64_t offset = place_.ofRow(call_, mask, row) + firstKey_ * mask.strides[3];
    widen(call_.kernel, mask.data, dtypeOf(mask), offset, mask.strides[3], n, out);
  };
  if (mask.strides[2] == 0 && (mask.strides[1] == 0 || call_.group() == 1)) {
    // One row for all queries, as for padding.
    read(firstRow(tile), strip_);
    for (int64_t key = 0; key < n; ++key) std::fill_n(mask_ + key * columns_, columns_, strip_[key]);
  } else {
    const int64_t rows = endRow(tile) - firstRow(tile);
    for (int64_t i = 0; i < rows; ++i) read(firstRow(tile) + i, strip_ + i * n);
    if (rows < columns_) std::memset(mask_, 0, n * columns_ * kFloat);
    transpose(call_.kernel, rows, n, strip_, n, mask_, columns_);
  }
  const bool hides = dtypeOf(mask) == DType::boolean;
  (hides ? attentionLoops().hideMasked : attentionLoops().addMask)(scores_, mask_, n * columns_);
}

void QueryTiles::applyCausal(int64_t tile, int64_t n) const {
  int64_t fewest = n;
  for (int64_t j = 0; j < columns_; ++j) {
    const int64_t row = firstRow(tile) + j;
    limits_[j] = static_cast<int32_t>(row < endRow(tile) ? std::clamp<int64_t>(call_.visible(row) - firstKey_, 0, n) : n);
    fewest = std::min<int64_t>(fewest, limits_[j]);
  }
  attentionLoops().hideFrom(scores_, fewest, n, columns_, limits_);
}

void QueryTiles::finish(int64_t tile, float scale) const {
  const int64_t width = call_.valueWidth();
  float* sums = sumsOf(tile);
  if (call_.mostVisible(firstRow(tile), endRow(tile)) == 0) std::memset(sums, 0, width * columns_ * kFloat);
  for (int64_t j = 0; j < columns_; ++j) {
    const float weight = weightOf(tile)[j];
    const int64_t row = std::min(firstRow(tile) + j, endRow(tile) - 1);
    factor_[j] = weight == 0 ? call_.unweighted(row) : scale / weight;
  }
  attentionLoops().scaleColumns(sums, width, columns_, factor_);
  const View& out = call_.out;
  forEachRun(tile, [&](int64_t row, int64_t rows) {
    const float* from = sums + row - firstRow(tile);
    const int64_t offset = place_.ofRow(call_, out, row);
    if (isPlain(out)) {
      transpose(call_.kernel, width, rows, from, columns_, static_cast<float*>(out.data) + offset, out.strides[2]);
      return;
    }
    transpose(call_.kernel, width, rows, from, columns_, strip_, width);
    for (int64_t i = 0; i < rows; ++i) {
      narrow(call_.kernel, strip_ + i * width, width, out.data, dtypeOf(out), offset + i * out.strides[2], out.strides[3]);
    }
  });
}

}  // namespace quanto::cpu
