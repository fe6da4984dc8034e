// One float product on its way through the driver: gemm_float.cpp sets it up, and one of the two paths below computes it.
#pragma once

#include "../../backend.h"
#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

struct FloatProduct {
  const FloatKernel& kernel;
  int64_t m, n, k;
  Matrix a, b;                 // b [K, N]; unused where packedWeight
  const int8_t* packedWeight;  // null, or int8 [N, K] as packInt8 made it
  const float* scale;          // null, or n factors padded to whole tiles of columns
  const float* bias;           // null, or n summands, padded likewise
  const FloatOutput& out;
  const TileSource* tiles;  // null, or what makes the tiles of b
};

// Whether m or n is so small that packing would cost more than it saves.
bool isSkinny(const FloatProduct& product);
// Streams the large operand once, unpacked.
Status runSkinny(const FloatProduct& product);
// Packs both operands block by block.
Status runPacked(const FloatProduct& product);

// Scales, adds the bias and stores `count` finished sums of row i from column j on; `sums` is overwritten.
void finishRow(const FloatProduct& product, int64_t i, int64_t j, int64_t count, float* sums);

}  // namespace quanto::cpu
