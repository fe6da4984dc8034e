#include "gemm_digits.h"

#include <cstring>

#include "convert.h"
#include "digit_rows.h"
#include "int8_product.h"
#include "int8_source.h"

namespace quanto::cpu {
namespace {

// Sums of K products of -128 and -128 fit int32.
constexpr int64_t kLongest = (int64_t{1} << 17) - 1;

// The rows of a product, one after the other.
template <int digits>
class PackedDigits {
 public:
  static constexpr int64_t kTogether = digits;

  PackedDigits(const DigitRows& rows, int64_t k) : rows_(rows), k_(k), stride_(oddLines(roundUp(k, kRowPadding))) {}
  int64_t stride() const { return stride_; }
  void pack(int64_t row, char* out) const {
    rows_.split(row, 0, k_, reinterpret_cast<int8_t*>(out), stride_);
    for (int64_t digit = 0; digit < digits; ++digit) std::memset(out + digit * stride_ + k_, 0, roundUp(k_, kRowPadding) - k_);
  }

 private:
  const DigitRows& rows_;
  int64_t k_, stride_;
};

// Scales finished sums, as many rows of which as there are digits are one of the output.
struct DigitFinish {
  const DigitForm& form;
  const FloatOutput& out;
  const float *rowScale, *columnScale, *bias;

  void operator()(const SumBlock& block) const {
    const int64_t row = block.row / form.digits, rows = block.rows / form.digits,
                  first = row * out.rowStride + block.column * out.columnStride;
    alignas(64) float values[kMaxSums / kRoundedDigits];
    const bool plain = out.dtype == DType::float32 && out.columnStride == 1;
    float* target = plain ? static_cast<float*>(out.data) + first : values;
    const int64_t stride = plain ? out.rowStride : block.columns;
    form.scale({rows, block.columns, block.sums, block.stride, rowScale + row, columnScale + block.column,
                bias ? bias + block.column : nullptr, target, stride});
    if (plain) return;
    for (int64_t i = 0; i < rows; ++i)
      narrow(floatKernel(), values + i * stride, block.columns, out.data, out.dtype, first + i * out.rowStride, out.columnStride);
  }
};

}  // namespace

bool takesDigits(const Int8Kernel& kernel, int64_t m, int64_t n, int64_t k, Precision precision) {
  if (!kernel.digits || k > kLongest) return false;
  return precision != Precision::highest || m <= kernel.digitRows || (k > 0 && k * n / (k + n) >= kernel.digitSize);
}

Status gemmByDigits(int64_t m, int64_t n, int64_t k, const Matrix& a, const Int8Weight& weight, const Scales& weightScale,
                    const FloatOutput& out, Precision precision, const Int8Kernel& kernel, bool* fit) {
  const FloatKernel& convert = floatKernel();
  const bool exact = precision == Precision::highest;
  const DigitForm& form = exact ? kernel.digits->exact : kernel.digits->rounded;
  thread_local ThreadBuffer memory;
  BufferPlan plan;
  const int64_t atExponents = plan.add(m * sizeof(int32_t)), atRows = plan.add(m * sizeof(float));
  const int64_t atColumns = plan.add(n * sizeof(float)), atBias = plan.add(n * sizeof(float));
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto *rowScale = reinterpret_cast<float*>(base + atRows), *columnScale = reinterpret_cast<float*>(base + atColumns);
  auto* bias = reinterpret_cast<float*>(base + atBias);
  DigitRows rows(*kernel.digits, form, a, k, reinterpret_cast<int32_t*>(base + atExponents), rowScale);
  *fit = rows.measure(m);
  if (!*fit) return Status::ok;
  widen(convert, weightScale.data, weightScale.dtype, 0, weightScale.stride, n, columnScale);
  if (out.bias) widen(convert, out.bias, out.biasDtype, 0, out.biasStride, n, bias);
  const DigitFinish finish{form, out, rowScale, columnScale, out.bias ? bias : nullptr};
  const Int8Product product{kernel, form.digits * m, n, k, weight};
  return exact ? runInt8(product, PackedDigits<kExactDigits>(rows, k), finish)
               : runInt8(product, PackedDigits<kRoundedDigits>(rows, k), finish);
}

}  // namespace quanto::cpu
