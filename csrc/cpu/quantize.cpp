#include <limits>

#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// Adding and subtracting 1.5 * 2^23 rounds |x| < 2^22 to an integer, half to even, in vectorizable arithmetic.
constexpr float kRoundingShift = 12582912.0f;

// A scale of 0 belongs to an all-zero channel: its codes are 0, infinities and NaN included.
inline float divide(float x, float scale) { return scale == 0 ? 0.0f : x / scale; }

template <class Code>
void encodeIntegers(const float* quotient, Code* out, int64_t n) {
  constexpr float low = std::numeric_limits<Code>::min(), high = std::numeric_limits<Code>::max();
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < n; ++i) {
    float q = quotient[i];
    q = q == q ? q : 0.0f;
    q = q < low ? low : q;
    q = q > high ? high : q;
    out[i] = static_cast<Code>(static_cast<int32_t>((q + kRoundingShift) - kRoundingShift));
  }
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

// Writes a block of quotients as codes: integers round half to even and saturate, float8 rounds to its nearest value.
class CodeWriter {
 public:
  CodeWriter(const View& out, int64_t stride)
      : dtype_(dtypeOf(out)), stride_(stride), data_(static_cast<char*>(out.data)), store_(storeFunction<float>(dtype_)) {}

  void write(int64_t offset, int64_t n, const float* quotient) const {
    if (isReal(dtype_)) return store_(quotient, n, data_ + offset, stride_);
    uint8_t buffer[kBlock];
    char* codes = data_ + offset;
    void* target = stride_ == 1 ? static_cast<void*>(codes) : buffer;
    if (dtype_ == DType::int8) encodeIntegers(quotient, static_cast<int8_t*>(target), n);
    else encodeIntegers(quotient, static_cast<uint8_t*>(target), n);
    if (stride_ == 1) return;
    for (int64_t i = 0; i < n; ++i) codes[i * stride_] = static_cast<char>(buffer[i]);
  }

 private:
  DType dtype_;
  int64_t stride_;
  char* data_;  // every dtype of codes has one byte
  Store<float> store_;
};

}  // namespace

Status quantize(Queue*, const View* src, const View* scale, const View* out) {
  const auto loop = makeLoop({out, src, scale});
  const Reader<float> values(*src, loop.innerStride(1)), scales(*scale, loop.innerStride(2));
  const CodeWriter codes(*out, loop.innerStride(0));
  // The original divides in the dtype of src, so a quotient of a narrow one is rounded before it is rounded to an integer.
  const bool narrow = dtypeOf(*src) != DType::float32;
  const Store<float> round = storeFunction<float>(dtypeOf(*src));
  const Load<float> widen = loadFunction<float>(dtypeOf(*src));
  forEachRunParallel(loop, kCheapGrain, kBlock, [&](int64_t, const int64_t(&offsets)[3], int64_t n) {
    float x[kBlock], s[kBlock], quotient[kBlock];
    divideBlock(values.read(offsets[1], n, x), scales.readStep(offsets[2], n, s), scales.step(), quotient, n);
    if (narrow) {
      uint16_t rounded[kBlock];
      round(quotient, n, rounded, 1);
      widen(rounded, 1, n, quotient);
    }
    codes.write(offsets[0], n, quotient);
  });
  return Status::ok;
}

Status dequantize(Queue* queue, const View* codes, const View* scale, const View* out) {
  // The product of a code and a scale in float32 is exact for the narrow dtypes, so one rounding to out's dtype is the only one.
  return binary(queue, static_cast<int32_t>(BinaryOp::mul), scale, codes, out);
}

}  // namespace quanto::cpu
