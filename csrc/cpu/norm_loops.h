// The normalizations of one contiguous row, with a version for each instruction set, all giving the same bits.
#pragma once

#include <cstdint>

namespace quanto::cpu {

struct NormLoops {
  // out[i] = exp(x[i] - shift); gives their sum.
  double (*exponentials)(const float* x, float shift, float* out, int64_t n);
  // out[i] = exp(x[i] - largest) / sum
  void (*softmax)(const float* x, float largest, float* out, int64_t n);
  // out[i] = (x[i] - mean) * rstd * weight[i] + bias[i], both parameters optional (null).
  void (*layerNorm)(const float* x, const float* weight, const float* bias, float* out, int64_t n, double eps, float* mean, float* rstd);
  void (*rmsNorm)(const float* x, const float* weight, float* out, int64_t n, double eps, float* rstd);
};

const NormLoops& normLoops();

// One for each instruction set.
extern const NormLoops kNormLoopsRef, kNormLoopsAvx2, kNormLoopsAvx512;

}  // namespace quanto::cpu
