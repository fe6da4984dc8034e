// One call of the attention slot on its way: attention.cpp cuts it into units of queries, and one of the paths below computes each.
#pragma once

#include <algorithm>

#include "attention_loops.h"
#include "elements.h"
#include "gemm/convert.h"
#include "gemm/kernels.h"
#include "gemm/workspace.h"

namespace quanto::cpu {

// Keys taken at once: their scores for one tile of queries fit the first-level cache, the packed keys and values the second.
inline constexpr int64_t kKeyBlock = kWeightedKeys;

// Queries of the heads that share one head of keys and values are rows: row r is query r % length of head r / length of the group.
struct Attention {
  const FloatKernel& kernel;
  const Int8Kernel& codeKernel;
  const View &query, &key, &value, &out;
  const View* mask;         // null: none
  float queryScale;         // of query values, before the product
  const float* scoreScale;  // null, or a factor of the sums
  const float* valueScale;  // null, or what the values' codes are multiplied by; query and key are codes then
  bool causal;
  int64_t diagonal;

  int64_t heads() const { return query.shape[1]; }
  int64_t sharedHeads() const { return key.shape[1]; }
  int64_t length() const { return query.shape[2]; }
  int64_t keys() const { return key.shape[2]; }
  int64_t width() const { return query.shape[3]; }
  int64_t valueWidth() const { return value.shape[3]; }
  int64_t group() const { return heads() / sharedHeads(); }
  int64_t rows() const { return group() * length(); }
  Pieces keyBlocks() const { return Pieces(std::max<int64_t>(keys(), 1), kKeyBlock); }

  // Keys that a row may see for its place in the sequence.
  int64_t visible(int64_t row) const { return causal ? std::clamp<int64_t>(row % length() + diagonal + 1, 0, keys()) : keys(); }
  // The same of the row among [begin, end) that sees most.
  int64_t mostVisible(int64_t begin, int64_t end) const {
    return begin / length() == (end - 1) / length() ? visible(end - 1) : visible(length() - 1);
  }
  // What the result of a row without any weight is multiplied by: 0 where it was kept from its keys, else NaN, as softmax has it where
  // floats of -infinity were added.
  float unweighted(int64_t row) const {
    const bool hidden = (mask && dtypeOf(*mask) == DType::boolean) || visible(row) < keys() || keys() == 0;
    return hidden ? 0.0f : __builtin_nanf("");
  }
};

// One head of keys and values, and the queries of its group.
struct SharedHead {
  int64_t batch, head;

  // Offset of a row's first element in the query, the mask or the output.
  int64_t ofRow(const Attention& call, const View& view, int64_t row) const {
    const int64_t head4 = head * call.group() + row / call.length();
    return batch * view.strides[0] + head4 * view.strides[1] + row % call.length() * view.strides[2];
  }
  int64_t ofKey(const View& view, int64_t key) const { return batch * view.strides[0] + head * view.strides[1] + key * view.strides[2]; }
};

struct FloatRows {
  const float* data;
  int64_t stride;
};
// Whether rows are float32 that can be read where they lie.
inline bool isPlain(const View& view) { return dtypeOf(view) == DType::float32 && (view.strides[3] == 1 || view.shape[3] <= 1); }
// `count` rows along dim 2 as float32: where they lie, or widened into the buffer.
inline FloatRows floatRows(const FloatKernel& kernel, const View& view, int64_t offset, int64_t count, float* buffer) {
  if (isPlain(view)) return {static_cast<const float*>(view.data) + offset, view.strides[2]};
  const int64_t n = view.shape[3];
  for (int64_t i = 0; i < count; ++i) {
    widen(kernel, view.data, dtypeOf(view), offset + i * view.strides[2], view.strides[3], n, buffer + i * n);
  }
  return {buffer, n};
}

// Offsets of what tiles of queries keep (attention_query_tiles.h).
struct QueryMemory {
  int64_t sums, state, scores, mask, factor, limits, strip;
};

// Rows in tiles as wide as the kernel's, keys and values packed for it.
struct TileMemory : QueryMemory {
  int64_t query, key, value, bytes;
};
TileMemory planTiles(const Attention& call, int64_t tiles);
// Tiles [first, end) of a shared head's rows.
void runTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const TileMemory& plan, char* memory);

// So few rows that packing would cost more than it saves: keys and values are streamed.
int64_t fewRows(const FloatKernel& kernel);
struct RowMemory {
  int64_t query, scores, sums, part, key, value, mask, bytes;
};
RowMemory planRows(const Attention& call);
void runRows(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const RowMemory& plan, char* memory);

// Tiles of queries, keys and values in codes, by the int8 kernel.
struct CodeMemory : QueryMemory {
  int64_t query, key, value, weights, scoreSums, products, words, keep, bytes;
};
int64_t codeColumns(const Attention& call);
CodeMemory planCodes(const Attention& call, int64_t tiles);
void runCodes(const Attention& call, const SharedHead& place, int64_t first, int64_t end, const CodeMemory& plan, char* memory);

}  // namespace quanto::cpu
