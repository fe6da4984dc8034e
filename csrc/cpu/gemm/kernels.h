// What one instruction set provides to the GEMM drivers. Plain structs and the C library's integer types only: files compiled for one
// instruction set include this header and no C++ library header.
#pragma once

#include <stdint.h>

namespace quanto::cpu {

// One tile of c = a . b over a block of K, from packed panels.
struct FloatTile {
  int64_t k;
  const float* a;  // [k][rows]
  const float* b;  // [k][columns]
  float* c;        // row-major
  int64_t cStride;
  bool accumulate;     // c + sum instead of sum
  const float* scale;  // null, or a factor for each column, applied to the finished sum
  const float* bias;   // null, or a summand for each column, added last
};

constexpr int kMaxSkinny = 32;

struct FloatKernel {
  const char* name;
  int rows, columns;  // of the largest tile; columns is a multiple of 16, and every tile has all of them

  // The largest m or n for which dot and streamInt8 are faster than packing and tiles; at most kMaxSkinny.
  int skinny;
  // The largest m for which it is where the rows of both operands lie in float32 along K.
  int64_t dotRows;

  // 1 <= rows <= this->rows.
  void (*tile)(int rows, const FloatTile& tile);

  // c[m, n] (+)= a[m, k] . b[n, k]^T from unpacked rows: what serves when m or n is too small to repay packing.
  void (*dot)(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c, int64_t cStride,
              bool accumulate);

  // c[m, n] = a[m, k] . b[k, n], the rows of b read once and in order; for small m.
  void (*stream)(int64_t m, int64_t n, int64_t k, const float* a, int64_t aStride, const float* b, int64_t bStride, float* c,
                 int64_t cStride);

  // c[m, 16] = a[m, k] . panel^T, where panel holds the codes of 16 columns of a packed int8 weight (pack_int8.h); for small m.
  void (*streamInt8)(int64_t m, int64_t k, const float* a, int64_t aStride, const int8_t* codes, float* c, int64_t cStride);

  // Widens `k` values of each of a panel's 16 columns: out[l * outStride + j].
  void (*widenInt8)(int64_t k, const int8_t* codes, float* out, int64_t outStride);
  // out[k * outStride + i] = in[i * inStride + k] for `count` rows of length k. Null: the driver's own loop.
  void (*transpose)(int64_t count, int64_t k, const float* in, int64_t inStride, float* out, int64_t outStride);
  // Contiguous float16 from and to float32. Null: the driver's own loop.
  void (*widenFloat16)(int64_t count, const uint16_t* in, float* out);
  void (*narrowFloat16)(int64_t count, const float* in, uint16_t* out);
};

// One tile of exact sums over all of K, or over a block of it where the kernel has a `groupBlock`.
struct Int8Tile {
  int64_t groups;   // of 4 values along K
  const char* a;    // rows as packRow makes them, zero up to a multiple of 64 values
  int64_t aStride;  // bytes from one row to the next
  const int8_t* panels;
  int64_t panelStride;  // bytes from one panel of 16 columns to the next
  int32_t* c;           // [rows][16 * panels], row-major
  int64_t cStride;
  // Only of kernels with a `groupBlock`.
  bool accumulate;      // c + sums instead of sums
  const int8_t* ahead;  // null, or panels of as many groups that will be wanted next: fetched into the second-level cache meanwhile
};

// The finish of a tile: out = float32(sums) * (rowScale * columnScale) + bias, each step rounded.
struct ScaledTile {
  int64_t rows, columns;
  const int32_t* sums;
  int64_t sumsStride;
  const float* rowScale;
  const float* columnScale;
  const float* bias;  // may be null
  float* out;
  int64_t outStride;
};

// The rows of the largest tile of any kernel, and the panels of 16 columns beside each other whose sums are finished together.
constexpr int kMaxTileHeight = 32, kMaxUnitPanels = 8;
constexpr int kMaxSums = kMaxTileHeight * kMaxUnitPanels * 16;

// Values in fixed point as so many digits to the base 256, from -128 to 127 (gemm_digits.h).
struct DigitForm {
  int digits;
  // round(in * 2^exponent), at most 2^numberBits: digit i, the highest first, goes to out[i * outStride] as the kernel's packRow has
  // codes.
  void (*split)(int64_t count, const float* in, int exponent, int8_t* out, int64_t outStride);
  // As Int8Kernel::scale, of rows that have the sums of their digits in as many rows each.
  void (*scale)(const ScaledTile& tile);

  // The highest digit is at most half of what one can be, so that a carry from below has room.
  int numberBits() const { return 8 * digits - 2; }
};
constexpr int kExactDigits = 4, kRoundedDigits = 2;

struct DigitLoops {
  // The bits of the largest magnitude, which order as magnitudes do.
  uint32_t (*largest)(int64_t count, const float* in);
  // For Precision::highest, and for the others.
  DigitForm exact, rounded;
};

struct Int8Kernel {
  const char* name;
  int rows, panels;  // of the largest tile, a panel being 16 columns

  int rowsRead;      // a tile reads its rows, and writes its sums, up to a multiple of this; 1 where it keeps to its own
  int elementBytes;  // of a value in a packed row
  // The most groups along K that one tile takes, so that its panels stay in the first-level cache while rows stream past them; a multiple
  // of 16, as are the places where a block begins. 0: always all of K, whose panels' headers `tile` reads.
  int groupBlock;
  // Codes of a row to the form that `tile` reads.
  void (*packRow)(int64_t count, const int8_t* in, void* out);

  // Before and after the tiles that a thread computes in one go; null where there is nothing to prepare.
  void (*begin)();
  // 1 <= rows <= this->rows, 1 <= panels <= this->panels.
  void (*tile)(int rows, int panels, const Int8Tile& tile);
  void (*end)();
  void (*scale)(const ScaledTile& tile);

  // Null where two integer products never take less time than one of float32. Elements of such a kernel are bytes, and it has kExactDigits
  // rows at least.
  const DigitLoops* digits;
  // Two always take less time; four do for at most so many rows, and for any number where K N / (K + N) is at least so much: splitting
  // takes a time of M K, scaling one of M N, and what is saved is one of M N K.
  int64_t digitRows, digitSize;
};

extern const FloatKernel kFloatAvx512, kFloatAvx2, kFloatNeon, kFloatRef;
extern const Int8Kernel kInt8Amx, kInt8Vnni, kInt8Avxvnni, kInt8Avx2, kInt8Dotprod, kInt8Ref;

// The first of each ordered list that this machine and QUANTO_ISA allow.
const FloatKernel& floatKernel();
const Int8Kernel& int8Kernel();

}  // namespace quanto::cpu
