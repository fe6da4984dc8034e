// The normalizations of one contiguous row, with a version for each instruction set, all giving the same bits.
#pragma once

#include <cstdint>

namespace quanto::cpu {

struct NormLoops {
  // out[i] = exp(x[i] - shift), of differences that are not positive; gives their sum.
  double (*exponentials)(const float* x, float shift, float* out, int64_t n);
  // out[i] = exp(x[i] - largest) * (1 / sum), of the largest x and the sum of the exponentials
  void (*softmax)(const float* x, float* out, int64_t n);
  // out[i] = x[i] - largest - log(sum); out is no part of x.
  void (*logSoftmax)(const float* x, float* out, int64_t n);
  // out[i] = (x[i] - mean) * rstd * weight[i] + bias[i], both parameters optional (null).
  void (*layerNorm)(const float* x, const float* weight, const float* bias, float* out, int64_t n, double eps, float* mean, float* rstd);
  void (*rmsNorm)(const float* x, const float* weight, float* out, int64_t n, double eps, float* rstd);
  // scale[i] = 1 / sqrt(variance[i] + eps) * weight[i] and shift[i] = bias[i] - scale[i] * mean[i], both parameters optional (null)
  void (*batchNormAffine)(const float* mean, const float* variance, const float* weight, const float* bias, float eps, float* scale,
                          float* shift, int64_t n);
  // out[i] = x[i] * scale[i * step] + shift[i * step]; step is 1, or 0 for one number each.
  void (*scaleShift)(const float* x, const float* scale, const float* shift, int64_t step, float* out, int64_t n);
  // dx[i] = y[i] * (dy[i] - sum of dy * y), of y = softmax(x)
  void (*softmaxBackward)(const float* dy, const float* y, float* dx, int64_t n);
  // dx[i] = dy[i] - exp(y[i]) * sum of dy, of y = logSoftmax(x)
  void (*logSoftmaxBackward)(const float* dy, const float* y, float* dx, int64_t n);
  // The gradient of x_hat = (x - mean) * rstd is rstd * (g - mean(g) - x_hat * mean(g * x_hat)) with g = dy * weight, which is optional
  // (null). Where there is no mean, a null, g keeps its own. `g` has room for n values.
  void (*normBackward)(const float* dy, const float* x, const float* weight, const float* mean, float rstd, float* g, float* dx, int64_t n);
  // out[i] = dy[i] * (x[i] - mean) * rstd
  void (*weightTerms)(const float* dy, const float* x, float mean, float rstd, float* out, int64_t n);
};

const NormLoops& normLoops();

// One for each instruction set.
extern const NormLoops kNormLoopsRef, kNormLoopsAvx2, kNormLoopsAvx512;

}  // namespace quanto::cpu
