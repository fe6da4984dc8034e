// Rows of a quantized layer's input on their way into the int8 tiles.
#pragma once

#include "gemm.h"
#include "kernels.h"
#include "workspace.h"

namespace quanto::cpu {

// Values that a packed row is padded to: one row of an AMX tile.
constexpr int64_t kRowPadding = 64;

// Codes and scales of an Int8Source's rows.
class CodeRows {
 public:
  CodeRows(const Int8Source& source, int64_t k) : source_(source), k_(k) {}

  float scaleOf(int64_t row) const;
  // Of a row that lies as codes side by side: where they lie; else null.
  const int8_t* plain(int64_t row) const;
  // Values [begin, begin + count) of any other row, at most kStrip of them.
  void encode(int64_t row, int64_t begin, int64_t count, float scale, int8_t* codes) const;
  // All of a row: where they lie, or in `buffer`, which takes k.
  const int8_t* codes(int64_t row, float scale, int8_t* buffer) const;

  static constexpr int64_t kStrip = 512;

 private:
  const float* widened(int64_t row, int64_t begin, int64_t count, float* buffer) const;
  void quantize(const float* values, int64_t count, float scale, int8_t* codes) const;

  const Int8Source& source_;
  int64_t k_;
};

class Int8Rows {
 public:
  static constexpr int64_t kTogether = 1;

  // `rowScale` takes the scale of each row as it is packed; null where none is wanted.
  Int8Rows(const Int8Kernel& kernel, const Int8Source& source, int64_t k, float* rowScale);

  // Bytes from one packed row of k values to the next. An odd number of cache lines, so that the rows of a tile do not share cache sets.
  static int64_t strideOf(const Int8Kernel& kernel, int64_t k) { return oddLines(roundUp(k, kRowPadding) * kernel.elementBytes); }
  int64_t stride() const { return stride_; }
  // Quantizes where the source is real; safe to call for several rows at once.
  void pack(int64_t row, char* out) const;

 private:
  // Zeros after a row's last value, which tiles read.
  void pad(char* out) const;

  const Int8Kernel& kernel_;
  CodeRows rows_;
  int64_t k_, stride_;
  float* rowScale_;
};

}  // namespace quanto::cpu
