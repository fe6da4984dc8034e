#include "elements.h"
#include "kernels.h"
#include "loops.h"
#include "row_loops.h"

namespace quanto::cpu {
namespace {

// A scale of 0 belongs to an all-zero channel: its codes are 0, infinities included. So is the code of NaN, of every type.
inline float divide(float x, float scale) {
  const float quotient = x / scale;
  return scale == 0 || quotient != quotient ? 0.0f : quotient;
}

void divideBlock(const float* x, const float* scale, int64_t scaleStep, float* out, int64_t n) {
  if (scaleStep == 0) {
    const float only = *scale;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = divide(x[i], only);
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = divide(x[i], scale[i]);
  }
}

// Integer codes of a block: quotients round half to even and saturate.
void encodeIntegers(DType dtype, const float* x, const float* scale, int64_t scaleStep, void* codes, int64_t n) {
  const RowLoops& loops = rowLoops();
  if (dtype == DType::int8) loops.quantizeInt8(x, scale, scaleStep, static_cast<int8_t*>(codes), n);
  else loops.quantizeUint8(x, scale, scaleStep, static_cast<uint8_t*>(codes), n);
}

}  // namespace

Status quantize(Queue*, const View* src, const View* scale, const View* out) {
  const auto loop = makeLoop({out, src, scale});
  const Reader<float> values(*src, loop.innerStride(1)), scales(*scale, loop.innerStride(2));
  const DType dtype = dtypeOf(*src), codeType = dtypeOf(*out);
  const int64_t stride = loop.innerStride(0);
  const Store<float> store = storeFunction<float>(codeType), round = storeFunction<float>(dtype);
  const Load<float> widen = loadFunction<float>(dtype);
  forEachRunParallel(loop, kCheapGrain, kBlock, [&](int64_t, const int64_t(&offsets)[3], int64_t n) {
    float valueBuffer[kBlock], scaleBuffer[kBlock], quotient[kBlock];
    const float *x = values.read(offsets[1], n, valueBuffer), *s = scales.readStep(offsets[2], n, scaleBuffer);
    int64_t step = scales.step();
    // The original divides in the dtype of src, so a quotient of a narrow one is rounded before it is rounded to an integer.
    constexpr float kOne = 1;
    if (dtype != DType::float32 || isReal(codeType)) {
      divideBlock(x, s, step, quotient, n);
      x = quotient;
      s = &kOne;
      step = 0;
    }
    if (dtype != DType::float32) {
      uint16_t rounded[kBlock];
      round(quotient, n, rounded, 1);
      widen(rounded, 1, n, quotient);
    }
    auto* codes = static_cast<uint8_t*>(out->data) + offsets[0];
    if (isReal(codeType)) {
      store(quotient, n, codes, stride);
    } else if (stride == 1) {
      encodeIntegers(codeType, x, s, step, codes, n);
    } else {
      uint8_t buffer[kBlock];
      encodeIntegers(codeType, x, s, step, buffer, n);
      for (int64_t i = 0; i < n; ++i) codes[i * stride] = buffer[i];
    }
  });
  return Status::ok;
}

Status dequantize(Queue* queue, const View* codes, const View* scale, const View* out) {
  // The product of a code and a scale in float32 is exact for the narrow dtypes, so one rounding to out's dtype is the only one.
  return binary(queue, static_cast<int32_t>(BinaryOp::mul), scale, codes, out);
}

}  // namespace quanto::cpu
