// Rows of a quantized layer's input on their way into the int8 tiles.
#pragma once

#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

// Values that a packed row is padded to: one row of an AMX tile.
constexpr int64_t kRowPadding = 64;

class Int8Rows {
 public:
  static constexpr int64_t kTogether = 1;

  // `rowScale` takes the scale of each row as it is packed; null where none is wanted.
  Int8Rows(const Int8Kernel& kernel, const Int8Source& source, int64_t k, float* rowScale);

  // Bytes from one packed row to the next. An odd number of cache lines, so that the rows of a tile do not share cache sets.
  int64_t stride() const { return stride_; }
  // Quantizes where the source is real; safe to call for several rows at once.
  void pack(int64_t row, char* out) const;

 private:
  float scaleOf(int64_t row) const;
  // Zeros after a row's last value, which tiles read.
  void pad(char* out) const;
  const float* widened(int64_t row, int64_t begin, int64_t count, float* buffer) const;
  void quantize(float* values, const float* source, int64_t count, float scale, int8_t* codes) const;

  const Int8Kernel& kernel_;
  const Int8Source& source_;
  int64_t k_, stride_;
  float* rowScale_;
};

}  // namespace quanto::cpu
