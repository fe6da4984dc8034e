// Affine codes of less than 8 bits: groups of values with a scale and a shift each, and codes packed by rows.
#include "../csrc/scalar_math.h"
#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

Status quantizeAffine(Queue* queue, const View* src, const View* scale, const View* shift, const View* out, int32_t bits) {
  Issue issue(queue);
  const auto loop = makeLoop({out, src, scale, shift});
  const Operand values(*src), scales(*scale), shifts(*shift);
  auto* codes = static_cast<uint8_t*>(out->data);
  const bool realShift = isReal(shifts.dtype), narrow = values.dtype != DType::float32;
  const auto largest = static_cast<float>((1 << bits) - 1);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[4];
    loop.place(i, at);
    // Sum and quotient are rounded to src's dtype, in which the original computes them.
    float value = values.get(at[1]);
    const float offset = shifts.get(at[3]);
    if (realShift) value += offset;
    if (realShift && narrow) value = rounded(value, values.dtype);
    value /= scales.get(at[2]);
    if (narrow) value = rounded(value, values.dtype);
    value = math::roundEven(value);
    // NaN stays NaN under the addition of a zero point, whose code is the zero point.
    if (!realShift) value = (value == value ? value : 0.0f) + offset;
    // NaN, the quotient of a constant group by its scale of 0, has code 0.
    const float kept = value > 0 ? value : 0.0f;
    codes[at[0]] = static_cast<uint8_t>(kept < largest ? kept : largest);
  });
  return issue.finish();
}

Status dequantizeAffine(Queue* queue, const View* codes, const View* scale, const View* shift, const View* out) {
  Issue issue(queue);
  const auto loop = makeLoop({out, codes, scale, shift});
  const Operand target(*out), values(*codes), scales(*scale), shifts(*shift);
  const bool realShift = isReal(shifts.dtype), narrow = target.dtype != DType::float32;
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[4];
    loop.place(i, at);
    const float factor = scales.get(at[2]), offset = shifts.get(at[3]), code = values.get(at[1]);
    float product = realShift ? factor * code : factor * (code - offset);
    if (realShift && narrow) product = rounded(product, target.dtype);
    target.set(at[0], realShift ? product - offset : product);
  });
  return issue.finish();
}

namespace {

// The rows of a packed byte: row r lies in byte row r % packedRows, at bit bits * (r / packedRows).
struct PackedRows {
  int64_t rows, packedRows, rowSize;
  PackedRows(const View& unpacked, const View& packed) : rows(unpacked.shape[0]), packedRows(packed.shape[0]), rowSize(1) {
    for (int dim = 1; dim < unpacked.ndim; ++dim) rowSize *= unpacked.shape[dim];
  }
};

}  // namespace

Status packBits(Queue* queue, const View* src, const View* out, int32_t bits) {
  Issue issue(queue);
  const PackedRows at(*src, *out);
  const auto* codes = static_cast<const uint8_t*>(src->data);
  auto* packed = static_cast<uint8_t*>(out->data);
  issue.forEach(at.packedRows * at.rowSize, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t column = i % at.rowSize;
    unsigned byte = 0;
    int bit = 0;
    for (int64_t row = i / at.rowSize; row < at.rows; row += at.packedRows, bit += bits)
      byte |= static_cast<unsigned>(codes[row * at.rowSize + column]) << bit;
    packed[i] = static_cast<uint8_t>(byte);
  });
  return issue.finish();
}

Status unpackBits(Queue* queue, const View* src, const View* out, int32_t bits) {
  Issue issue(queue);
  const PackedRows at(*out, *src);
  const auto* packed = static_cast<const uint8_t*>(src->data);
  auto* codes = static_cast<uint8_t*>(out->data);
  const unsigned mask = (1u << bits) - 1;
  issue.forEach(at.rows * at.rowSize, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t row = i / at.rowSize, column = i % at.rowSize;
    const unsigned byte = packed[row % at.packedRows * at.rowSize + column];
    codes[i] = static_cast<uint8_t>(byte >> (bits * (row / at.packedRows)) & mask);
  });
  return issue.finish();
}

}  // namespace quanto::cuda
