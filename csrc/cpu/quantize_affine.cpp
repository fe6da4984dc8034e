// Affine codes of less than 8 bits: groups of values with a scale and a shift each, and codes packed by rows.
#include <cmath>

#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// Rounds to src's dtype what the original computes in it, step by step.
class Narrowing {
 public:
  explicit Narrowing(DType dtype)
      : plain_(dtype == DType::float32), store_(storeFunction<float>(dtype)), load_(loadFunction<float>(dtype)) {}

  void operator()(float* values, int64_t n) const {
    if (plain_) return;
    uint16_t rounded[kBlock];
    store_(values, n, rounded, 1);
    load_(rounded, 1, n, values);
  }

 private:
  bool plain_;
  Store<float> store_;
  Load<float> load_;
};

// NaN, the quotient of a constant group by its scale of 0, has code 0.
inline uint8_t encode(float value, float largest) {
  const float kept = value > 0 ? value : 0;
  return static_cast<uint8_t>(kept < largest ? kept : largest);
}

// The rows of a packed byte: row r lies in byte r % packedRows, at bit bits * (r / packedRows).
struct PackedRows {
  int64_t rows, packedRows, rowSize;

  PackedRows(const View& unpacked, const View& packed) : rows(unpacked.shape[0]), packedRows(packed.shape[0]), rowSize(1) {
    for (int dim = 1; dim < unpacked.ndim; ++dim) rowSize *= unpacked.shape[dim];
  }
};

}  // namespace

Status quantizeAffine(Queue*, const View* src, const View* scale, const View* shift, const View* out, int32_t bits) {
  const auto loop = makeLoop({out, src, scale, shift});
  const Reader<float> values(*src, loop.innerStride(1)), scales(*scale, loop.innerStride(2)), shifts(*shift, loop.innerStride(3));
  const bool realShift = isReal(dtypeOf(*shift));
  const Narrowing narrow(dtypeOf(*src));
  const int64_t stride = loop.innerStride(0);
  const float largest = static_cast<float>((1 << bits) - 1);
  forEachRunParallel(loop, kCheapGrain / 4, kBlock, [&](int64_t, const int64_t(&offsets)[4], int64_t n) {
    float valueBuffer[kBlock], scaleBuffer[kBlock], shiftBuffer[kBlock], quotients[kBlock];
    const float* x = values.read(offsets[1], n, valueBuffer);
    const float *s = scales.readStep(offsets[2], n, scaleBuffer), *z = shifts.readStep(offsets[3], n, shiftBuffer);
    const int64_t scaleStep = scales.step(), shiftStep = shifts.step();
    auto* codes = static_cast<uint8_t*>(out->data) + offsets[0];
    if (realShift) {
      for (int64_t i = 0; i < n; ++i) quotients[i] = x[i] + z[i * shiftStep];
      narrow(quotients, n);
      x = quotients;
    }
    for (int64_t i = 0; i < n; ++i) quotients[i] = x[i] / s[i * scaleStep];
    narrow(quotients, n);
    for (int64_t i = 0; i < n; ++i) quotients[i] = std::nearbyint(quotients[i]);
    // NaN stays NaN under the addition of a zero point, whose code is the zero point.
    if (!realShift) {
      for (int64_t i = 0; i < n; ++i) quotients[i] = (quotients[i] == quotients[i] ? quotients[i] : 0.0f) + z[i * shiftStep];
    }
    for (int64_t i = 0; i < n; ++i) codes[i * stride] = encode(quotients[i], largest);
  });
  return Status::ok;
}

Status dequantizeAffine(Queue*, const View* codes, const View* scale, const View* shift, const View* out) {
  const auto loop = makeLoop({out, codes, scale, shift});
  const Writer<float> writer(*out, loop.innerStride(0));
  const Reader<float> values(*codes, loop.innerStride(1)), scales(*scale, loop.innerStride(2)), shifts(*shift, loop.innerStride(3));
  const bool realShift = isReal(dtypeOf(*shift));
  const Narrowing narrow(dtypeOf(*out));
  forEachRunParallel(loop, kCheapGrain / 4, kBlock, [&](int64_t, const int64_t(&offsets)[4], int64_t n) {
    float codeBuffer[kBlock], scaleBuffer[kBlock], shiftBuffer[kBlock], results[kBlock];
    const float* c = values.read(offsets[1], n, codeBuffer);
    const float *s = scales.readStep(offsets[2], n, scaleBuffer), *z = shifts.readStep(offsets[3], n, shiftBuffer);
    const int64_t scaleStep = scales.step(), shiftStep = shifts.step();
    float* target = writer.target(offsets[0], results);
    if (realShift) {
      for (int64_t i = 0; i < n; ++i) target[i] = s[i * scaleStep] * c[i];
      narrow(target, n);
      for (int64_t i = 0; i < n; ++i) target[i] -= z[i * shiftStep];
    } else {
      for (int64_t i = 0; i < n; ++i) target[i] = s[i * scaleStep] * (c[i] - z[i * shiftStep]);
    }
    writer.write(offsets[0], n, target);
  });
  return Status::ok;
}

Status packBits(Queue*, const View* src, const View* out, int32_t bits) {
  const PackedRows at(*src, *out);
  const auto* codes = static_cast<const uint8_t*>(src->data);
  auto* packed = static_cast<uint8_t*>(out->data);
  parallelFor(at.packedRows, kCheapGrain / (at.rowSize + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      uint8_t* target = packed + row * at.rowSize;
      for (int64_t i = 0; i < at.rowSize; ++i) target[i] = codes[row * at.rowSize + i];
      int bit = bits;
      for (int64_t other = row + at.packedRows; other < at.rows; other += at.packedRows, bit += bits) {
        const uint8_t* source = codes + other * at.rowSize;
        for (int64_t i = 0; i < at.rowSize; ++i) target[i] = static_cast<uint8_t>(target[i] | source[i] << bit);
      }
    }
  });
  return Status::ok;
}

Status unpackBits(Queue*, const View* src, const View* out, int32_t bits) {
  const PackedRows at(*out, *src);
  const auto* packed = static_cast<const uint8_t*>(src->data);
  auto* codes = static_cast<uint8_t*>(out->data);
  const auto mask = static_cast<uint8_t>((1 << bits) - 1);
  parallelFor(at.rows, kCheapGrain / (at.rowSize + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* source = packed + row % at.packedRows * at.rowSize;
      const int bit = static_cast<int>(row / at.packedRows) * bits;
      for (int64_t i = 0; i < at.rowSize; ++i) codes[row * at.rowSize + i] = static_cast<uint8_t>(source[i] >> bit & mask);
    }
  });
  return Status::ok;
}

}  // namespace quanto::cpu
