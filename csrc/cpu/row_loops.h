// Loops over contiguous float32 values that have a version for each instruction set, all giving the same bits.
#pragma once

#include <cstdint>

namespace quanto::cpu {

struct RowLoops {
  // NaN if there is one; -infinity, or infinity for the minimum, if n is 0.
  float (*maximum)(const float* x, int64_t n);
  float (*minimum)(const float* x, int64_t n);
  // Of the finite values; at most 0 if there is none.
  float (*absmax)(const float* x, int64_t n);
  // In the order of fold.h; the second of (x - mean)^2.
  double (*sum)(const float* x, int64_t n);
  double (*squares)(const float* x, float mean, int64_t n);
  // sums[i] += x[i]
  void (*addTo)(double* sums, const float* x, int64_t n);
  // codes = clamp(roundHalfEven(x / scale)); scaleStep is 1, or 0 for one scale. A scale of 0 and NaN give 0.
  void (*quantizeInt8)(const float* x, const float* scale, int64_t scaleStep, int8_t* codes, int64_t n);
  void (*quantizeUint8)(const float* x, const float* scale, int64_t scaleStep, uint8_t* codes, int64_t n);
  void (*widenInt8)(const int8_t* codes, float* out, int64_t n);
  void (*widenUint8)(const uint8_t* codes, float* out, int64_t n);
};

const RowLoops& rowLoops();

// One for each instruction set.
extern const RowLoops kRowLoopsRef, kRowLoopsAvx2, kRowLoopsAvx512;

}  // namespace quanto::cpu
