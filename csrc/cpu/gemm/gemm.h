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

// A right operand that makes its own packed tiles: fill writes out[l * width + j] for l < k, j < columns; column is a multiple of 16, and
// so may be what it writes, up to the next one.
struct TileSource {
  const void* context;
  void (*fill)(const void* context, int64_t column, int64_t columns, int64_t firstK, int64_t k, float* out, int64_t width);
};
Status gemmFloat(int64_t m, int64_t n, int64_t k, const Matrix& a, const TileSource& b, const FloatOutput& out);

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
                      const FloatOutput& out, Precision precision = Precision::highest, const Int8Kernel& kernel = int8Kernel());

// A weight [N, K] of 2 or 4 bits (dtype uint8) or of float8, in groups along K; packed as weight_bits.h describes.
struct BitsWeight {
  const void* data;
  DType dtype;
  int32_t bits;
  int64_t groupSize;  // divides K
};

// out = a . w^T + bias with w = scale * code - shift; scale and shift are dense [N, K / groupSize], shift.data null for none. No float
// weight is written to memory but for blocks that stay in the cache.
Status gemmBits(int64_t m, int64_t n, int64_t k, const Matrix& a, const BitsWeight& weight, const Scales& scale, const Scales& shift,
                const FloatOutput& out, Precision precision = Precision::highest);

// The same for codes of a [M, K], and 2 or 4 bits: integer sums of each group. out = a.scale[m] * sum + bias.
Status gemmBitsInt8(int64_t m, int64_t n, int64_t k, const Int8Source& a, const BitsWeight& weight, const Scales& scale,
                    const Scales& shift, const FloatOutput& out);

// Between the form of files (row-major float8, or rows packed by packBits) and the packed one.
int64_t packedBitsBytes(int64_t n, int64_t k, const BitsWeight& weight);
void packBitsWeight(int64_t n, int64_t k, const BitsWeight& weight, const uint8_t* source, uint8_t* packed);
void unpackBitsWeight(int64_t n, int64_t k, const BitsWeight& weight, const uint8_t* packed, uint8_t* out);

// The packed form is described in pack_int8.h.
int64_t packedInt8Bytes(int64_t n, int64_t k);
void packInt8(int64_t n, int64_t k, const int8_t* source, int64_t rowStride, int64_t columnStride, void* packed);
void unpackInt8(int64_t n, int64_t k, const void* packed, int8_t* out);

// The implementations chosen on this machine, for deviceInfo(): "float32: avx512, int8: vnni, w8: vnni/avx512, bits: vnni". Of int8 weights
// under float rows (w8) the size of the layer decides between two.
const char* gemmDescription();

}  // namespace quanto::cpu
