// Sums of runs, in a fixed order of operations that the compiler can vectorize.
#pragma once

#include <cstdint>

namespace quanto::cpu {

inline constexpr int kLanes = 16;

// Sum of term(i) over [0, n). Eight float32 terms at a time are added in pairs, which is exact for equal terms, and then in double.
template <class Term>
double sumOf(int64_t n, Term&& term) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + 8 * kLanes <= n; i += 8 * kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const auto x = [&](int64_t row) { return term(i + row * kLanes + lane); };
      lanes[lane] += ((x(0) + x(1)) + (x(2) + x(3))) + ((x(4) + x(5)) + (x(6) + x(7)));
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  double total = 0;
  for (; i < n; ++i) total += term(i);
  // In halves, so that no addition waits for the one before.
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return total + lanes[0];
}

}  // namespace quanto::cpu
