#include "gemm_digits.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "convert.h"
#include "int8_product.h"
#include "int8_source.h"

namespace quanto::cpu {
namespace {

// Values that are widened at a time, and values that repay handing a piece of the search for the largest to another thread.
constexpr int64_t kStrip = 512, kSearchGrain = 1 << 15;
constexpr uint32_t kInfinityBits = 0x7f800000u;
// Rows whose largest magnitude is below 2^-90 are treated as if it were that: their scale stays a normal float32.
constexpr int kSmallestExponent = -90, kPoint = 29;
// Sums of K products of -128 and -128 fit int32.
constexpr int64_t kLongest = (int64_t{1} << 17) - 1;

class DigitRows {
 public:
  static constexpr int64_t kTogether = kDigits;

  // `exponents` and `scales` have a place for each row.
  DigitRows(const DigitLoops& loops, const Matrix& a, int64_t k, int32_t* exponents, float* scales)
      : loops_(loops), a_(a), k_(k), exponents_(exponents), scales_(scales), stride_((roundUp(k, kRowPadding) / kLine | 1) * kLine) {}

  // Finds a row's exponent and scale; false where a value is not finite.
  bool measure(int64_t row) const {
    float buffer[kStrip];
    uint32_t largest = 0;
    for (int64_t begin = 0; begin < k_; begin += kStrip) {
      const int64_t count = std::min(kStrip, k_ - begin);
      largest = std::max(largest, loops_.largest(count, widened(row, begin, count, buffer)));
    }
    if (largest >= kInfinityBits) return false;
    const int exponent = std::max(static_cast<int>(largest >> 23) - 127, kSmallestExponent);
    exponents_[row] = kPoint - exponent;
    scales_[row] = std::ldexp(1.0f, exponent - kPoint);
    return true;
  }

  int64_t stride() const { return stride_; }

  void pack(int64_t row, char* out) const {
    float buffer[kStrip];
    auto* digits = reinterpret_cast<int8_t*>(out);
    for (int64_t begin = 0; begin < k_; begin += kStrip) {
      const int64_t count = std::min(kStrip, k_ - begin);
      loops_.split(count, widened(row, begin, count, buffer), exponents_[row], digits + begin, stride_);
    }
    for (int64_t digit = 0; digit < kDigits; ++digit) std::memset(digits + digit * stride_ + k_, 0, roundUp(k_, kRowPadding) - k_);
  }

 private:
  static constexpr int64_t kLine = 64;

  const float* widened(int64_t row, int64_t begin, int64_t count, float* buffer) const {
    const int64_t offset = row * a_.rowStride + begin * a_.columnStride;
    if (a_.dtype == DType::float32 && a_.columnStride == 1) return static_cast<const float*>(a_.data) + offset;
    widen(floatKernel(), a_.data, a_.dtype, offset, a_.columnStride, count, buffer);
    return buffer;
  }

  const DigitLoops& loops_;
  const Matrix& a_;
  int64_t k_;
  int32_t* exponents_;
  float* scales_;
  int64_t stride_;
};

// Scales finished sums, four rows of which are one of the output.
struct DigitFinish {
  const DigitLoops& loops;
  const FloatOutput& out;
  const float *rowScale, *columnScale, *bias;

  void store(const SumBlock& block) const {
    const int64_t row = block.row / kDigits, rows = block.rows / kDigits, first = row * out.rowStride + block.column * out.columnStride;
    alignas(64) float values[kMaxSums / kDigits];
    const bool plain = out.dtype == DType::float32 && out.columnStride == 1;
    float* target = plain ? static_cast<float*>(out.data) + first : values;
    const int64_t stride = plain ? out.rowStride : block.columns;
    loops.scale({rows, block.columns, block.sums, block.stride, rowScale + row, columnScale + block.column,
                 bias ? bias + block.column : nullptr, target, stride});
    if (plain) return;
    for (int64_t i = 0; i < rows; ++i)
      narrow(floatKernel(), values + i * stride, block.columns, out.data, out.dtype, first + i * out.rowStride, out.columnStride);
  }
};

}  // namespace

bool takesDigits(const Int8Kernel& kernel, int64_t k) { return kernel.digits && k <= kLongest; }

Status gemmByDigits(int64_t m, int64_t n, int64_t k, const Matrix& a, const Int8Weight& weight, const Scales& weightScale,
                    const FloatOutput& out, const Int8Kernel& kernel, bool* finite) {
  const FloatKernel& convert = floatKernel();
  thread_local ThreadBuffer memory;
  BufferPlan plan;
  const int64_t atExponents = plan.add(m * sizeof(int32_t)), atRows = plan.add(m * sizeof(float));
  const int64_t atColumns = plan.add(n * sizeof(float)), atBias = plan.add(n * sizeof(float));
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return Status::outOfMemory;
  auto *rowScale = reinterpret_cast<float*>(base + atRows), *columnScale = reinterpret_cast<float*>(base + atColumns);
  auto* bias = reinterpret_cast<float*>(base + atBias);
  const DigitRows rows(*kernel.digits, a, k, reinterpret_cast<int32_t*>(base + atExponents), rowScale);
  std::atomic<bool> allFinite{true};
  parallelFor(m, std::max<int64_t>(1, kSearchGrain / (k + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (!rows.measure(row)) allFinite.store(false, std::memory_order_relaxed);
    }
  });
  *finite = allFinite;
  if (!*finite) return Status::ok;
  widen(convert, weightScale.data, weightScale.dtype, 0, weightScale.stride, n, columnScale);
  if (out.bias) widen(convert, out.bias, out.biasDtype, 0, out.biasStride, n, bias);
  const DigitFinish finish{*kernel.digits, out, rowScale, columnScale, out.bias ? bias : nullptr};
  return runInt8({kernel, kDigits * m, n, k, weight}, rows, [&](const SumBlock& block) { finish.store(block); });
}

}  // namespace quanto::cpu
