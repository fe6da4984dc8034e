// The loops of norm_loops.h, to be included once by each file that is compiled for one instruction set: no C++ library header here.
#pragma once

#include "vector_math.h"
//
#include "fold.h"
#include "norm_loops.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

double exponentials(const float* x, float shift, float* out, int64_t n) {
  fetchingNext(x, n, [=](int64_t begin, int64_t end) {
    QUANTO_VECTORIZE
    for (int64_t i = begin; i < end; ++i) out[i] = math::expNegative(x[i] - shift);
  });
  return sumOf(n, [=](int64_t i) { return out[i]; });
}

// NaN is no maximum, but its exponential is NaN, and so are the sum and the results.
float shiftOf(const float* x, int64_t n) {
  return largestNumber<same>(x, n, [](const float*, int64_t) {});
}

void softmax(const float* x, float* out, int64_t n) {
  const auto inverse = static_cast<float>(1 / exponentials(x, shiftOf(x, n), out, n));
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) out[i] *= inverse;
}

void logSoftmax(const float* x, float* out, int64_t n) {
  const float largest = shiftOf(x, n);
  const auto logSum = static_cast<float>(__builtin_log(exponentials(x, largest, out, n)));
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - largest) - logSum;
}

void affineBlock(const float* x, float center, float inverse, const float* weight, const float* bias, float* out, int64_t n) {
  if (weight && bias) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - center) * inverse * weight[i] + bias[i];
  } else if (weight) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - center) * inverse * weight[i];
  } else if (bias) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - center) * inverse + bias[i];
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - center) * inverse;
  }
}

void affine(const float* x, float center, float inverse, const float* weight, const float* bias, float* out, int64_t n) {
  fetchingNext(x, n, [=](int64_t begin, int64_t end) {
    affineBlock(x + begin, center, inverse, weight ? weight + begin : nullptr, bias ? bias + begin : nullptr, out + begin, end - begin);
  });
}

float inverseRoot(double mean, double eps) { return static_cast<float>(1 / __builtin_sqrt(mean + eps)); }

void layerNorm(const float* x, const float* weight, const float* bias, float* out, int64_t n, double eps, float* mean, float* rstd) {
  const auto count = static_cast<double>(n);
  const auto center = static_cast<float>(sumOf(n, [=](int64_t i) { return x[i]; }) / count);
  *rstd = inverseRoot(sumOf(n, [=](int64_t i) { return (x[i] - center) * (x[i] - center); }) / count, eps);
  *mean = center;
  affine(x, center, *rstd, weight, bias, out, n);
}

void rmsNorm(const float* x, const float* weight, float* out, int64_t n, double eps, float* rstd) {
  *rstd = inverseRoot(sumOf(n, [=](int64_t i) { return x[i] * x[i]; }) / static_cast<double>(n), eps);
  affine(x, 0, *rstd, weight, nullptr, out, n);
}

void batchNormAffine(const float* mean, const float* variance, const float* weight, const float* bias, float eps, float* scale,
                     float* shift, int64_t n) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) scale[i] = 1 / __builtin_sqrtf(variance[i] + eps);
  if (weight) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) scale[i] *= weight[i];
  }
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) shift[i] = -(scale[i] * mean[i]);
  if (bias) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) shift[i] += bias[i];
  }
}

void scaleShift(const float* x, const float* scale, const float* shift, int64_t step, float* out, int64_t n) {
  if (step == 0) {
    const float factor = *scale, term = *shift;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = x[i] * factor + term;
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale[i] + shift[i];
  }
}

void softmaxBackward(const float* dy, const float* y, float* dx, int64_t n) {
  const auto sum = static_cast<float>(sumOf(n, [=](int64_t i) { return dy[i] * y[i]; }));
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) dx[i] = y[i] * (dy[i] - sum);
}

void logSoftmaxBackward(const float* dy, const float* y, float* dx, int64_t n) {
  const auto sum = static_cast<float>(sumOf(n, [=](int64_t i) { return dy[i]; }));
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] - math::expNegative(y[i]) * sum;
}

void normBackward(const float* dy, const float* x, const float* weight, const float* mean, float rstd, float* g, float* dx, int64_t n) {
  if (weight) {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) g[i] = dy[i] * weight[i];
    dy = g;
  }
  const auto count = static_cast<double>(n);
  const float center = mean ? *mean : 0.0f;
  const auto along = static_cast<float>(sumOf(n, [=](int64_t i) { return dy[i] * ((x[i] - center) * rstd); }) / count);
  const auto level = mean ? static_cast<float>(sumOf(n, [=](int64_t i) { return dy[i]; }) / count) : 0.0f;
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) dx[i] = rstd * (dy[i] - level - (x[i] - center) * rstd * along);
}

void weightTerms(const float* dy, const float* x, float mean, float rstd, float* out, int64_t n) {
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) out[i] = dy[i] * ((x[i] - mean) * rstd);
}

constexpr NormLoops makeNormLoops() {
  return {exponentials, softmax,         logSoftmax,         layerNorm,    rmsNorm,    batchNormAffine,
          scaleShift,   softmaxBackward, logSoftmaxBackward, normBackward, weightTerms};
}

}  // namespace
}  // namespace quanto::cpu
