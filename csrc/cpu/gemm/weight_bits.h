// Weights of 2 and 4 bits and of float8 in the form that their kernels stream, and what one instruction set provides for them. As in
// kernels.h: plain structs, no C++ library header.
//
// ceil(N / 16) panels of 16 columns. A panel has for each group of values along K ceil(groupSize / values) vectors of 64 bytes, padded
// with zeros. Of 4 (2) bits a vector holds 8 (16) values of each column in 32 bits, the first value lowest, as two's complements of
// code - 8 (code - 2): what is streamed is centred, so that sums stay small. Of float8 it holds 4 values: [4 values][16 columns].
#pragma once

#include <stdint.h>

namespace quanto::cpu {

enum class BitsCode : int32_t { int2, int4, e4m3fn, e4m3fnuz, e5m2 };

constexpr int kBitsColumns = 16;
constexpr int64_t kBitsVector = 64;

static constexpr int bitsOf(BitsCode code) { return code == BitsCode::int2 ? 2 : code == BitsCode::int4 ? 4 : 8; }
// Values of each column in a vector.
static constexpr int64_t bitsValues(BitsCode code) { return 32 / bitsOf(code); }
// What is taken off an integer code: the middle of its range.
static constexpr int bitsCenter(BitsCode code) { return code == BitsCode::int2 ? 2 : code == BitsCode::int4 ? 8 : 0; }
static constexpr int64_t bitsGroupBytes(BitsCode code, int64_t groupSize) {
  return (groupSize + bitsValues(code) - 1) / bitsValues(code) * kBitsVector;
}

// The product of some rows of a with a panel, with all groups along K.
struct BitsRows {
  BitsCode code;
  int64_t groups, groupSize;
  const uint8_t* codes;
  const float* scale;  // [groups][16]
  const float* shift;  // null, or [groups][16]
  const float* a;      // [K][rows]
  const float* aSums;  // [groups][rows], over each group; unused without shifts
  const float* bias;   // null, or [16]
  float* c;            // [rows][16], cStride apart
  int64_t cStride;
};

// Values of a panel along K, for the products of many rows.
struct BitsBlock {
  BitsCode code;
  int64_t groupSize;
  const uint8_t* codes;
  int64_t first, count;  // along K
  const float* scale;    // [groups][16], from the group of `first` on
  const float* shift;    // null, or [groups][16]
  float* out;            // [count][outStride]
  int64_t outStride;
};

constexpr int kMaxBitsRows = 8;

// The product of some rows of int8 with a panel of 2 or 4 bits. Parts of a vector are its bytes' lowest bits, the next, and so on: part p
// of byte b is value b * parts + p, and `a` is laid out alike, [vectors][parts][rows][4], padded with zeros.
struct BitsIntegerRows {
  BitsCode code;
  int64_t groups, groupSize;
  const uint8_t* codes;
  const float* scale;  // [groups][16]
  const float* shift;  // [groups][16]
  const int8_t* a;
  const float* aSums;       // [groups][rows], over each group
  const int32_t* centring;  // the same times -center: where the sums of codes begin
  const float* rowScale;    // [rows]: what finished sums are multiplied by
  const float* bias;        // null, or [16]: what is added then
  float* c;                 // [rows][16], cStride apart
  int64_t cStride;
  // Of pairs: bytes of codes, and numbers of scales and of shifts, from one panel to the next.
  int64_t panelBytes, panelNumbers;
};

static constexpr int bitsParts(BitsCode code) { return 8 / bitsOf(code); }

// The sums of one group, of rows of a by one or two panels, on their way into float32: c += scale * sum and c += offset * aSum, each
// product and sum rounded.
template <class Sum>
struct BitsSums {
  int64_t rows;
  int panels;
  const Sum* sums;      // [rows][32]
  const float* scale;   // [panels], scaleStride apart, of [16]
  const float* offset;  // null, or the same
  int64_t scaleStride;
  const float* aSums;  // of the group, from one row to the next aStride apart
  int64_t aStride;
  float* c;  // [rows][32]
};

// One tile of float32 sums of bfloat16 products over a group. A float32 is the exact sum of three bfloat16, and codes are exact, so each
// product is too. Of fewer terms the last one is rounded.
struct Bfloat16Tile {
  int terms;
  int64_t steps;                // of 32 values along K
  const char* a;                // rows of terms, the highest first, zero up to whole steps
  int64_t aStride, termStride;  // bytes
  const char* panels;           // [values / 2][16 columns][2] each
  int64_t panelStride;          // bytes
  float* c;
  int64_t cStride;
};

// How units that multiply whole tiles take weights of few bits: widened group by group, to int8 for int8 rows, to bfloat16 for real ones.
struct Int8Kernel;
struct BitsTiles {
  const Int8Kernel* kernel;
  // Vectors of one group to the form of pack_int8.h, centred: bitsValues / 4 groups of [16 columns][4 values] each.
  void (*widen)(BitsCode code, int64_t vectors, const uint8_t* codes, int8_t* out);
  void (*accumulate)(const BitsSums<int32_t>& sums);

  // The same for bfloat16: [values / 2][16 columns][2].
  void (*widenReal)(BitsCode code, int64_t vectors, const uint8_t* codes, uint16_t* out);
  // The terms, 1 to 3, of `count` values, termStride values apart.
  void (*split)(int terms, int64_t count, const float* in, uint16_t* out, int64_t termStride);
  void (*tile)(int rows, int panels, const Bfloat16Tile& tile);
  void (*accumulateReal)(const BitsSums<float>& sums);

  // The most rows for which BitsKernel's `multiply`, of groups of less than 64 and of others, and `stream` are faster.
  int multipliedSmall, multiplied, streamed;
};

struct BitsKernel {
  const char* name;
  // The largest m for which `stream` is faster than unpacking for tiles; at most kMaxSkinny.
  int skinny;
  // 1 <= rows <= this->rows <= kMaxBitsRows.
  int rows;
  void (*stream)(int rows, const BitsRows& product);
  // out = scale * code - shift: the values as dequantizing gives them.
  void (*unpack)(const BitsBlock& block);
  // Sums of each group are exact; c += scale * (sum - center * aSum) and c += offset * aSum for one group after the other, each product and
  // sum rounded, so that all instruction sets agree to the bit; offset = center * scale - shift, likewise, is what a value of centred code
  // 0 is. 1 <= rows <= kMaxBitsRows.
  void (*multiply)(int rows, const BitsIntegerRows& product);
  // The same of this panel and the next one, of at most pairRows rows; null where it is not faster.
  int pairRows;
  void (*multiplyPair)(int rows, const BitsIntegerRows& product);
  // Null where there are no such units; then products of more rows take the paths above.
  const BitsTiles* tiles;
};

extern const BitsKernel kBitsAmx, kBitsVnni, kBitsAvx512, kBitsAvx2, kBitsRef;

// What instruction sets share.
void streamBitsAvx512(int rows, const BitsRows& product);
void unpackBitsAvx512(const BitsBlock& block);
void multiplyBitsAvx2(int rows, const BitsIntegerRows& product);
void multiplyBitsVnni(int rows, const BitsIntegerRows& product);

// The first of the ordered list that this machine and QUANTO_ISA allow.
const BitsKernel& bitsKernel();

}  // namespace quanto::cpu
