#include "digit_rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "../pool.h"
#include "convert.h"

namespace quanto::cpu {
namespace {

// Values that are widened at a time, and values that repay handing a piece to another thread.
constexpr int64_t kStrip = 512, kGrain = 1 << 15;
constexpr uint32_t kInfinityBits = 0x7f800000u;
// Of the scales, which are normal numbers.
constexpr int kSmallestExponent = -126;

}  // namespace

bool DigitRows::measureRow(int64_t row) {
  float buffer[kStrip];
  uint32_t largest = 0;
  for (int64_t begin = 0; begin < k_; begin += kStrip) {
    const int64_t count = std::min(kStrip, k_ - begin);
    largest = std::max(largest, loops_.largest(count, widenedRow(floatKernel(), a_, row, begin, count, buffer)));
  }
  if (largest >= kInfinityBits) return false;
  const int exponent = largest == 0 ? 0 : static_cast<int>(largest >> 23) - 127;
  exponents_[row] = form_.numberBits() - 1 - exponent;
  if (-exponents_[row] < kSmallestExponent) return false;
  scales_[row] = std::ldexp(1.0f, -exponents_[row]);
  return true;
}

bool DigitRows::measure(int64_t count) {
  std::atomic<bool> fit{true};
  parallelFor(count, std::max<int64_t>(1, kGrain / (k_ + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (!measureRow(row)) fit.store(false, std::memory_order_relaxed);
    }
  });
  return fit;
}

void DigitRows::split(int64_t row, int64_t begin, int64_t count, int8_t* out, int64_t outStride) const {
  float buffer[kStrip];
  for (int64_t done = 0; done < count; done += kStrip) {
    const int64_t taken = std::min(kStrip, count - done);
    form_.split(taken, widenedRow(floatKernel(), a_, row, begin + done, taken, buffer), exponents_[row], out + done, outStride);
  }
}

}  // namespace quanto::cpu
