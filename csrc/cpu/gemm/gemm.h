// Matrix products of the CPU backend on raw memory: one driver, one ordered list of implementations.
#pragma once

#include <cstdint>

#include "../../backend.h"
#include "../../dtype.h"

namespace quanto::cpu {

// A matrix with any strides (in elements), of a real dtype; elements are widened to float32 while packing.
struct Matrix {
  const void* data;
  DType dtype;
  int64_t rowStride, columnStride;
};

// What happens to a finished row-major tile of float32 sums: out = sum + bias[n], rounded once to `dtype`.
struct FloatOutput {
  void* data;
  DType dtype;
  int64_t rowStride, columnStride;
  const void* bias;  // null, or n values of `biasDtype`
  DType biasDtype;
  int64_t biasStride;
};

// All products return Status::outOfMemory when the buffers for packing (a few MiB) cannot be had, and leave `out` undefined then.
// No result depends on the number of threads: work is split over M and N, never over K.

// out[M, N] = a[M, K] . b[K, N] (+ bias). K = 0 gives the bias, or zeros.
Status gemmFloat(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, const FloatOutput& out);

// int8 operands, exact int32 sums. `b` is [N, K] row-major (a weight), or packed by packInt8 when `packed`.
struct Int8Weight {
  const int8_t* data;
  int64_t rowStride, columnStride;  // of the [N, K] form; ignored when packed
  bool packed;
};

// A number for each row or column, or one for all (stride 0).
struct Scales {
  const void* data;
  DType dtype;
  int64_t stride;
};

struct Int8Kernel;
const Int8Kernel& int8Kernel();

// int32 out[M, N] = a[M, K] . weight[N, K]^T. Sums wrap only past 2^31 (K > 131071 with extreme values).
Status gemmInt8(int64_t m, int64_t n, int64_t k, const int8_t* a, int64_t aRowStride, int64_t aColumnStride, const Int8Weight& weight,
                int32_t* out, int64_t outRowStride, int64_t outColumnStride, const Int8Kernel& kernel = int8Kernel());

// The left operand [M, K] of a quantized layer: int8 codes with their scale, or real values that are quantized on their way into the tiles.
struct Int8Source {
  const void* data;
  DType dtype;  // int8, float32, float16 or bfloat16
  int64_t rowStride, columnStride;
  Scales scale;  // data null: each row of real values has absmax / 127
};

// What happens to a finished sum: float32(sum) * (rowScale * columnScale) + bias, in float32, in this order, unfused; rounded to
// `between`; then the activation, rounded again; then one rounding to real.dtype, or quantization where that is int8.
struct Int8Output {
  FloatOutput real;
  DType between;
  Activation activation;
  Scales codeScale;  // of int8 outputs, one number
};

// out[M, N] from a [M, K] and weight [N, K]. No int32 matrix is written to memory.
Status gemmInt8Scaled(int64_t m, int64_t n, int64_t k, const Int8Source& a, const Int8Weight& weight, const Scales& weightScale,
                      const Int8Output& out, const Int8Kernel& kernel = int8Kernel());

// float a [M, K], int8 weight [N, K]: out = (a . weight^T) * weightScale[n] + bias[n]. The float weight is never written to memory.
Status gemmWeightOnly(int64_t m, int64_t n, int64_t k, const Matrix& a, const Int8Weight& weight, const Scales& weightScale,
                      const FloatOutput& out);

// The packed form is described in pack_int8.h.
int64_t packedInt8Bytes(int64_t n, int64_t k);
void packInt8(int64_t n, int64_t k, const int8_t* source, int64_t rowStride, int64_t columnStride, void* packed);
void unpackInt8(int64_t n, int64_t k, const void* packed, int8_t* out);

// The implementations chosen on this machine, for QUANTO_VERBOSE=dispatch and deviceInfo(): "float32: avx512, int8: vnni".
const char* gemmDescription();

}  // namespace quanto::cpu
