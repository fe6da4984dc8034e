// Tiles of floats: weights are the packed right operand of the second product as they are. Both products have the packed keys or values on
// the left.
#include <cstring>

#include "attention_query_tiles.h"

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

class FloatTiles : QueryTiles {
 public:
  FloatTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const TileMemory& plan, char* memory)
      : QueryTiles(call, place, first, end, call.kernel.columns, plan, memory),
        kernel_(call.kernel),
        valueTiles_(call.valueWidth(), call.kernel.rows),
        query_(reinterpret_cast<float*>(memory + plan.query)),
        key_(reinterpret_cast<float*>(memory + plan.key)),
        value_(reinterpret_cast<float*>(memory + plan.value)) {}

  void run() {
    for (int64_t tile = first_; tile < end_; ++tile) begin(tile);
    forEachBlock([&] {
      packKeys();
      packValues();
      for (int64_t tile = first_; tile < end_; ++tile) attend(tile);
    });
    for (int64_t tile = first_; tile < end_; ++tile) finish(tile, 1);
  }

 private:
  float* queryOf(int64_t tile) const { return query_ + (tile - first_) * columns_ * call_.width(); }

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
    reset(tile);
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
    const int64_t n = keysOf(tile);
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
    hide(tile, n);
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

  const FloatKernel& kernel_;
  const ValueTiles valueTiles_;
  float *query_, *key_, *value_;
};

}  // namespace

TileMemory planTiles(const Attention& call, int64_t tiles) {
  const int64_t columns = call.kernel.columns, keys = call.keyBlocks().largest();
  BufferPlan plan;
  TileMemory memory{planQueries(call, columns, tiles, plan), 0, 0, 0, 0};
  memory.query = plan.add(tiles * columns * call.width() * kFloat);
  memory.key = plan.add(keys * call.width() * kFloat);
  memory.value = plan.add(keys * call.valueWidth() * kFloat);
  memory.bytes = plan.bytes;
  return memory;
}

void runTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const TileMemory& plan, char* memory) {
  if (first < end) FloatTiles(call, place, first, end, plan, memory).run();
}

}  // namespace quanto::cpu
