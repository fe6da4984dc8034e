// Tiles of queries, whose scores are [keys][columns]: a row for each key and a column for each query, so that the softmax runs across
// vectors. What tiles of floats and of codes have in common: the running state of each query, masks, and how results are stored.
#pragma once

#include "attention.h"

namespace quanto::cpu {

QueryMemory planQueries(const Attention& call, int64_t columns, int64_t tiles, BufferPlan& plan);

class QueryTiles {
 protected:
  QueryTiles(const Attention& call, const SharedHead& place, int64_t first, int64_t end, int64_t columns, const QueryMemory& plan,
             char* memory);

  int64_t firstRow(int64_t tile) const { return tile * columns_; }
  int64_t endRow(int64_t tile) const { return std::min(call_.rows(), (tile + 1) * columns_); }
  // Weighted sums of values, [valueWidth][columns].
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

  // Calls body() for each block of keys that a row of the tiles may see, as firstKey_ and blockKeys_ say.
  template <class Body>
  void forEachBlock(Body&& body) {
    const Pieces blocks = call_.keyBlocks();
    const int64_t visible = call_.mostVisible(firstRow(first_), endRow(end_ - 1));
    for (int64_t block = 0; block < blocks.pieces && blocks.begin(block) < visible; ++block) {
      firstKey_ = blocks.begin(block);
      blockKeys_ = std::min(blocks.begin(block + 1), visible) - firstKey_;
      body();
    }
  }
  // Keys of the block that a row of the tile may see.
  int64_t keysOf(int64_t tile) const { return std::min(blockKeys_, call_.mostVisible(firstRow(tile), endRow(tile)) - firstKey_); }

  void reset(int64_t tile) const;
  // Takes the masks into the tile's scores of the block's first n keys.
  void hide(int64_t tile, int64_t n) const;
  // Divides by the sums of the weights and stores the rows, times `scale`.
  void finish(int64_t tile, float scale) const;

  const Attention& call_;
  const SharedHead& place_;
  const int64_t first_, end_, columns_;
  float *sums_, *state_, *scores_, *mask_, *factor_, *strip_;
  int32_t* limits_;
  int64_t firstKey_ = 0, blockKeys_ = 0;

 private:
  void applyMask(int64_t tile, int64_t n) const;
  void applyCausal(int64_t tile, int64_t n) const;
};

}  // namespace quanto::cpu
