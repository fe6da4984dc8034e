// Tiles of int8 codes, in integers: exact sums of queries by keys, and of values by weights in fixed point. A weight is relative to the
// largest of its block of keys and lies within 2^-24 of that; results are the same on every instruction set, for all that is summed is an
// integer. Keys are the rows of the first product and columns of values those of the second; queries are the columns of both.
#include <cstring>

#include "attention_query_tiles.h"
#include "gemm/int8_product.h"
#include "gemm/int8_source.h"

namespace quanto::cpu {
namespace {

// Rows of a tile whose softmax runs along the keys, not across the rows.
constexpr int64_t kFewRows = 4;
// Words whose bytes are taken apart in whole vectors.
constexpr int64_t kWordsTogether = 64;

class CodeTiles : QueryTiles {
 public:
  CodeTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const CodeMemory& plan, char* memory)
      : QueryTiles(call, place, first, end, codeColumns(call), plan, memory),
        kernel_(call.codeKernel),
        keyStride_(Int8Rows::strideOf(kernel_, call.width())),
        valueStride_(Int8Rows::strideOf(kernel_, call.keyBlocks().largest())),
        query_(reinterpret_cast<int8_t*>(memory + plan.query)),
        key_(memory + plan.key),
        value_(memory + plan.value),
        weights_(reinterpret_cast<int8_t*>(memory + plan.weights)),
        scoreSums_(reinterpret_cast<int32_t*>(memory + plan.scoreSums)),
        products_(reinterpret_cast<int32_t*>(memory + plan.products)),
        words_(reinterpret_cast<float*>(memory + plan.words)),
        keep_(reinterpret_cast<float*>(memory + plan.keep)) {}

  void run() {
    for (int64_t tile = first_; tile < end_; ++tile) begin(tile);
    if (kernel_.begin) kernel_.begin();
    forEachBlock([&] {
      packKeys();
      packValues();
      for (int64_t tile = first_; tile < end_; ++tile) attend(tile);
    });
    if (kernel_.end) kernel_.end();
    for (int64_t tile = first_; tile < end_; ++tile) finish(tile, *call_.valueScale);
  }

 private:
  int8_t* queryOf(int64_t tile) const { return query_ + (tile - first_) * panelsOf(columns_) * panelBytes(call_.width()); }
  int64_t panelsInUse(int64_t tile) const { return panelsOf(endRow(tile) - firstRow(tile)); }
  // Room for the codes of a panel's queries.
  int8_t* codes() const { return reinterpret_cast<int8_t*>(strip_); }

  // Rows of codes as tiles read them.
  void packRows(const int8_t* codes, int64_t rowStride, int64_t columnStride, int64_t rows, int64_t width, char* out,
                int64_t stride) const {
    const Int8Source source{codes, DType::int8, rowStride, columnStride, {}};
    const Int8Rows packed(kernel_, source, width, nullptr);
    for (int64_t i = 0; i < rows; ++i) packed.pack(i, out + i * stride);
  }

  void begin(int64_t tile) const {
    const View& query = call_.query;
    const int64_t width = call_.width(), rows = endRow(tile) - firstRow(tile);
    for (int64_t panel = 0; panel < panelsInUse(tile); ++panel) {
      const int64_t first = panel * kPanelColumns, columns = std::min<int64_t>(kPanelColumns, rows - first);
      // Rows of a panel may belong to several heads.
      for (int64_t i = 0; i < columns; ++i) {
        const auto* from = static_cast<const int8_t*>(query.data) + place_.ofRow(call_, query, firstRow(tile) + first + i);
        int8_t* to = codes() + i * width;
        if (query.strides[3] == 1) std::memcpy(to, from, width);
        else
          for (int64_t l = 0; l < width; ++l) to[l] = from[l * query.strides[3]];
      }
      packInt8Panel(columns, width, codes(), width, 1, queryOf(tile) + panel * panelBytes(width));
    }
    reset(tile);
    std::fill_n(sumsOf(tile), columns_ * call_.valueWidth(), 0.0f);
  }

  void packKeys() const {
    const View& key = call_.key;
    packRows(static_cast<const int8_t*>(key.data) + place_.ofKey(key, firstKey_), key.strides[2], key.strides[3], blockKeys_, call_.width(),
             key_, keyStride_);
  }

  // Values in columns, four of which are turned into rows as words where they lie as such.
  void packValues() const {
    const View& value = call_.value;
    const auto* from = static_cast<const int8_t*>(value.data) + place_.ofKey(value, firstKey_);
    const bool inWords = value.strides[3] == 1 && value.strides[2] % kGroup == 0 && reinterpret_cast<uintptr_t>(from) % kGroup == 0;
    const int64_t groups = inWords ? call_.valueWidth() / kGroup : 0, padded = roundUp(blockKeys_, kWordsTogether);
    int8_t columns[kGroup * kKeyBlock];
    if (groups > 0)
      transpose(call_.kernel, blockKeys_, groups, reinterpret_cast<const float*>(from), value.strides[2] / kGroup, words_, padded);
    for (int64_t group = 0; group < groups; ++group) {
      attentionLoops().takeApart(reinterpret_cast<const uint32_t*>(words_ + group * padded), padded, columns, kKeyBlock);
      packRows(columns, kKeyBlock, 1, kGroup, blockKeys_, value_ + group * kGroup * valueStride_, valueStride_);
    }
    const int64_t done = groups * kGroup;
    packRows(from + done * value.strides[3], value.strides[3], value.strides[2], call_.valueWidth() - done, blockKeys_,
             value_ + done * valueStride_, valueStride_);
  }

  void attend(int64_t tile) const {
    const int64_t n = keysOf(tile), panels = panelsInUse(tile), columns = panels * kPanelColumns, valueWidth = call_.valueWidth();
    if (n <= 0) return;
    const AttentionLoops& loops = attentionLoops();
    multiplyRows(kernel_, groupsOf(call_.width()), n, key_, keyStride_, queryOf(tile), panelBytes(call_.width()), panels, scoreSums_,
                 columns_);
    loops.scaleSums(scoreSums_, n * columns_, *call_.scoreScale * call_.queryScale, scores_);
    hide(tile, n);
    const DigitPanels weights{weights_, panelBytes(n)};
    const int64_t rows = endRow(tile) - firstRow(tile);
    const bool few = rows <= kFewRows;
    (few ? loops.weighFewDigits : loops.weighDigits)(scores_, n, columns_, few ? rows : columns, weights,
                                                     {largestOf(tile), weightOf(tile), keep_, factor_});
    const int64_t digits = kWeightDigits * panels, productStride = digits * kPanelColumns;
    multiplyRows(kernel_, groupsOf(n), valueWidth, value_, valueStride_, weights_, weights.stride, digits, products_, productStride);
    loops.addDigits(products_, productStride, valueWidth, columns, keep_, factor_, sumsOf(tile), columns_);
  }

  const Int8Kernel& kernel_;
  const int64_t keyStride_, valueStride_;
  int8_t* query_;
  char *key_, *value_;
  int8_t* weights_;
  int32_t *scoreSums_, *products_;
  float *words_, *keep_;
};

}  // namespace

int64_t codeColumns(const Attention& call) { return call.codeKernel.panels * kPanelColumns; }

CodeMemory planCodes(const Attention& call, int64_t tiles) {
  const Int8Kernel& kernel = call.codeKernel;
  const int64_t columns = codeColumns(call), keys = call.keyBlocks().largest(), panels = panelsOf(columns);
  BufferPlan plan;
  CodeMemory memory{planQueries(call, columns, tiles, plan), 0, 0, 0, 0, 0, 0, 0, 0, 0};
  memory.query = plan.add(tiles * panels * panelBytes(call.width()));
  // A kernel reads rows, and writes their sums, up to a multiple of rowsRead.
  memory.key = plan.add(roundUp(keys, kernel.rowsRead) * Int8Rows::strideOf(kernel, call.width()));
  memory.value = plan.add(roundUp(call.valueWidth(), kernel.rowsRead) * Int8Rows::strideOf(kernel, keys));
  memory.weights = plan.add(kWeightDigits * panels * panelBytes(keys));
  memory.scoreSums = plan.add(roundUp(keys, kernel.rowsRead) * columns * static_cast<int64_t>(sizeof(int32_t)));
  memory.products = plan.add(roundUp(call.valueWidth(), kernel.rowsRead) * kWeightDigits * columns * static_cast<int64_t>(sizeof(int32_t)));
  memory.words = plan.add(call.valueWidth() * roundUp(keys, kWordsTogether));
  memory.keep = plan.add(columns * static_cast<int64_t>(sizeof(float)));
  memory.bytes = plan.bytes;
  return memory;
}

void runCodes(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const CodeMemory& plan, char* memory) {
  if (first < end) CodeTiles(call, place, first, end, plan, memory).run();
}

}  // namespace quanto::cpu
