// A tile of scores is computed transposed, keys down and queries across: then the softmax runs across vectors, and its weights are the
// packed right operand of the second product as they are. Both products have the packed keys or values on the left.
#include <cstring>

#include "attention.h"
#include "attention_loops.h"

namespace quanto::cpu {
namespace {

constexpr int64_t kFloat = sizeof(float);

// Columns of the values in nearly equal tiles of whole groups of four, which are copied as one.
constexpr int64_t kTogether = 4;
struct ValueTiles {
  Pieces groups;
  int64_t width;
  ValueTiles(int64_t valueWidth, int64_t rows)
      : groups((valueWidth + kTogether - 1) / kTogether, std::max<int64_t>(1, rows / kTogether)), width(valueWidth) {}
  int64_t begin(int64_t tile) const { return groups.begin(tile) * kTogether; }
  int64_t size(int64_t tile) const { return std::min(width, begin(tile + 1)) - begin(tile); }
};

// Keys down: as transpositions of eight rows at a time make best.
int64_t keyTile(const FloatKernel& kernel) { return std::min<int64_t>(kernel.rows, 12); }

class Tiles {
 public:
  Tiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const TileMemory& plan, char* memory)
      : call_(call),
        kernel_(call.kernel),
        place_(place),
        first_(first),
        end_(end),
        columns_(call.kernel.columns),
        valueTiles_(call.valueWidth(), call.kernel.rows) {
    const auto at = [memory](int64_t offset) { return reinterpret_cast<float*>(memory + offset); };
    query_ = at(plan.query);
    sums_ = at(plan.sums);
    state_ = at(plan.state);
    key_ = at(plan.key);
    value_ = at(plan.value);
    scores_ = at(plan.scores);
    mask_ = at(plan.mask);
    factor_ = at(plan.factor);
    limits_ = reinterpret_cast<int32_t*>(memory + plan.limits);
    strip_ = at(plan.strip);
  }

  void run() {
    for (int64_t tile = first_; tile < end_; ++tile) begin(tile);
    const Pieces blocks = call_.keyBlocks();
    const int64_t visible = call_.mostVisible(firstRow(first_), endRow(end_ - 1));
    for (int64_t block = 0; block < blocks.pieces && blocks.begin(block) < visible; ++block) {
      firstKey_ = blocks.begin(block);
      blockKeys_ = std::min(blocks.begin(block + 1), visible) - firstKey_;
      packKeys();
      packValues();
      for (int64_t tile = first_; tile < end_; ++tile) attend(tile);
    }
    for (int64_t tile = first_; tile < end_; ++tile) finish(tile);
  }

 private:
  int64_t firstRow(int64_t tile) const { return tile * columns_; }
  int64_t endRow(int64_t tile) const { return std::min(call_.rows(), (tile + 1) * columns_); }
  float* queryOf(int64_t tile) const { return query_ + (tile - first_) * columns_ * call_.width(); }
  float* sumsOf(int64_t tile) const { return sums_ + (tile - first_) * columns_ * call_.valueWidth(); }
  float* largestOf(int64_t tile) const { return state_ + (tile - first_) * 2 * columns_; }
  float* weightOf(int64_t tile) const { return largestOf(tile) + columns_; }

  // Calls body(row, count) for the runs of a tile's rows that belong to one head each.
  template <class Body>
  void forEachRun(int64_t tile, Body&& body) const {
    for (int64_t row = firstRow(tile); row < endRow(tile);) {
      const int64_t next = std::min(endRow(tile), (row / call_.length() + 1) * call_.length());
      body(row, next - row);
      row = next;
    }
  }

  // Packs the queries: [width][columns], scaled.
  void begin(int64_t tile) const {
    const int64_t count = call_.width() * columns_;
    float* query = queryOf(tile);
    if (endRow(tile) - firstRow(tile) < columns_) std::memset(query, 0, count * kFloat);
    forEachRun(tile, [&](int64_t row, int64_t rows) {
      const FloatRows from = floatRows(kernel_, call_.query, place_.ofRow(call_, call_.query, row), rows, strip_);
      transpose(kernel_, rows, call_.width(), from.data, from.stride, query + row - firstRow(tile), columns_);
    });
    if (call_.queryScale != 1) {
      for (int64_t i = 0; i < count; ++i) query[i] *= call_.queryScale;
    }
    std::fill_n(largestOf(tile), columns_, -__builtin_inff());
    std::fill_n(weightOf(tile), columns_, 0.0f);
  }

  // [width][keys of a tile] after one another.
  void packKeys() const {
    const FloatRows from = floatRows(kernel_, call_.key, place_.ofKey(call_.key, firstKey_), blockKeys_, strip_);
    for (int64_t key = 0; key < blockKeys_; key += keyTile(kernel_)) {
      const int64_t keys = std::min(keyTile(kernel_), blockKeys_ - key);
      transpose(kernel_, keys, call_.width(), from.data + key * from.stride, from.stride, key_ + key * call_.width(), keys);
    }
  }

  // [keys][columns of a tile] after one another.
  void packValues() const {
    const FloatRows from = floatRows(kernel_, call_.value, place_.ofKey(call_.value, firstKey_), blockKeys_, strip_);
    for (int64_t tile = 0; tile < valueTiles_.groups.pieces; ++tile) {
      const int64_t begin = valueTiles_.begin(tile), size = valueTiles_.size(tile), whole = size / kTogether * kTogether;
      const float* source = from.data + begin;
      float* target = value_ + begin * blockKeys_;
      for (int64_t key = 0; key < blockKeys_; ++key, source += from.stride, target += size) {
        int64_t i = 0;
        for (; i < whole; i += kTogether) std::memcpy(target + i, source + i, kTogether * kFloat);
        for (; i < size; ++i) target[i] = source[i];
      }
    }
  }

  void attend(int64_t tile) const {
    const int64_t n = std::min(blockKeys_, call_.mostVisible(firstRow(tile), endRow(tile)) - firstKey_);
    if (n <= 0) return;
    FloatTile scores{call_.width(), nullptr, queryOf(tile), nullptr, columns_, false, nullptr, nullptr};
    if (call_.scoreScale) {
      std::fill_n(factor_, columns_, *call_.scoreScale);
      scores.scale = factor_;
    }
    for (int64_t key = 0; key < n; key += keyTile(kernel_)) {
      scores.a = key_ + key * call_.width();
      scores.c = scores_ + key * columns_;
      kernel_.tile(static_cast<int>(std::min(keyTile(kernel_), blockKeys_ - key)), scores);
    }
    if (call_.mask) applyMask(tile, n);
    if (call_.causal) applyCausal(tile, n);
    attentionLoops().weigh(scores_, n, columns_, largestOf(tile), weightOf(tile), factor_);

    // The first block of keys is the first for every row that sees any.
    const bool accumulate = firstKey_ > 0;
    float* sums = sumsOf(tile);
    if (accumulate) attentionLoops().scaleColumns(sums, call_.valueWidth(), columns_, factor_);
    FloatTile weighted{n, nullptr, scores_, nullptr, columns_, accumulate, nullptr, nullptr};
    for (int64_t part = 0; part < valueTiles_.groups.pieces; ++part) {
      weighted.a = value_ + valueTiles_.begin(part) * blockKeys_;
      weighted.c = sums + valueTiles_.begin(part) * columns_;
      kernel_.tile(static_cast<int>(valueTiles_.size(part)), weighted);
    }
  }

  void applyMask(int64_t tile, int64_t n) const {
    const View& mask = *call_.mask;
    const auto read = [&](int64_t row, float* out) {
      const int64_t offset = place_.ofRow(call_, mask, row) + firstKey_ * mask.strides[3];
      widen(kernel_, mask.data, dtypeOf(mask), offset, mask.strides[3], n, out);
    };
    if (mask.strides[2] == 0 && (mask.strides[1] == 0 || call_.group() == 1)) {
      // One row for all queries, as for padding.
      read(firstRow(tile), strip_);
      for (int64_t key = 0; key < n; ++key) std::fill_n(mask_ + key * columns_, columns_, strip_[key]);
    } else {
      const int64_t rows = endRow(tile) - firstRow(tile);
      for (int64_t i = 0; i < rows; ++i) read(firstRow(tile) + i, strip_ + i * n);
      if (rows < columns_) std::memset(mask_, 0, n * columns_ * kFloat);
      transpose(kernel_, rows, n, strip_, n, mask_, columns_);
    }
    const bool hides = dtypeOf(mask) == DType::boolean;
    (hides ? attentionLoops().hideMasked : attentionLoops().addMask)(scores_, mask_, n * columns_);
  }

  void applyCausal(int64_t tile, int64_t n) const {
    int64_t fewest = n;
    for (int64_t j = 0; j < columns_; ++j) {
      const int64_t row = firstRow(tile) + j;
      limits_[j] = static_cast<int32_t>(row < endRow(tile) ? std::clamp<int64_t>(call_.visible(row) - firstKey_, 0, n) : n);
      fewest = std::min<int64_t>(fewest, limits_[j]);
    }
    attentionLoops().hideFrom(scores_, fewest, n, columns_, limits_);
  }

  // Divides by the sums of the weights and stores the rows.
  void finish(int64_t tile) const {
    const int64_t width = call_.valueWidth();
    float* sums = sumsOf(tile);
    if (call_.mostVisible(firstRow(tile), endRow(tile)) == 0) std::memset(sums, 0, width * columns_ * kFloat);
    for (int64_t j = 0; j < columns_; ++j) {
      const float weight = weightOf(tile)[j];
      const int64_t row = std::min(firstRow(tile) + j, endRow(tile) - 1);
      factor_[j] = weight == 0 ? call_.unweighted(row) : 1 / weight;
    }
    attentionLoops().scaleColumns(sums, width, columns_, factor_);
    const View& out = call_.out;
    forEachRun(tile, [&](int64_t row, int64_t rows) {
      const float* from = sums + row - firstRow(tile);
      const int64_t offset = place_.ofRow(call_, out, row);
      if (isPlain(out)) {
        transpose(kernel_, width, rows, from, columns_, static_cast<float*>(out.data) + offset, out.strides[2]);
        return;
      }
      transpose(kernel_, width, rows, from, columns_, strip_, width);
      for (int64_t i = 0; i < rows; ++i) {
        narrow(kernel_, strip_ + i * width, width, out.data, dtypeOf(out), offset + i * out.strides[2], out.strides[3]);
      }
    });
  }

  const Attention& call_;
  const FloatKernel& kernel_;
  const SharedHead& place_;
  const int64_t first_, end_, columns_;
  const ValueTiles valueTiles_;
  float *query_, *sums_, *state_, *key_, *value_, *scores_, *mask_, *factor_, *strip_;
  int32_t* limits_;
  int64_t firstKey_ = 0, blockKeys_ = 0;
};

}  // namespace

TileMemory planTiles(const Attention& call, int64_t tiles) {
  const int64_t columns = call.kernel.columns, keys = call.keyBlocks().largest();
  BufferPlan plan;
  TileMemory memory{};
  memory.query = plan.add(tiles * columns * call.width() * kFloat);
  memory.sums = plan.add(tiles * columns * call.valueWidth() * kFloat);
  memory.state = plan.add(tiles * columns * 2 * kFloat);
  memory.key = plan.add(keys * call.width() * kFloat);
  memory.value = plan.add(keys * call.valueWidth() * kFloat);
  memory.scores = plan.add(keys * columns * kFloat);
  memory.mask = plan.add(call.mask ? keys * columns * kFloat : 0);
  memory.factor = plan.add(columns * kFloat);
  memory.limits = plan.add(columns * kFloat);
  // Rows of queries, keys, values, results or the mask, whichever is widened at the time.
  memory.strip = plan.add(
      std::max({keys * std::max({call.width(), call.valueWidth(), columns}), columns * std::max(call.width(), call.valueWidth())}) *
      kFloat);
  memory.bytes = plan.bytes;
  return memory;
}

void runTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const TileMemory& plan, char* memory) {
  if (first < end) Tiles(call, place, first, end, plan, memory).run();
}

}  // namespace quanto::cpu
