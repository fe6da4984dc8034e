// What happens to the finished sums of a quantized layer.
#pragma once

#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

// One rectangle of sums, on the stack of the thread that made it.
struct SumBlock {
  int64_t row, column, rows, columns;
  const int32_t* sums;
  int64_t stride;
};

class Int8Finish {
 public:
  // Of float32, and alive as long as this: scales of the rows and columns, and the bias or null.
  Int8Finish(const Int8Kernel& kernel, const Int8Output& out, const float* rowScale, const float* columnScale, const float* bias);

  void store(const SumBlock& block) const;

 private:
  const Int8Kernel& kernel_;
  const Int8Output& out_;
  const float *rowScale_, *columnScale_, *bias_;
  float codeScale_ = 0;
  bool plain_;
};

}  // namespace quanto::cpu
