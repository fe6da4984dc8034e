// Sums and extremes of runs, in a fixed order of operations that the compiler can vectorize.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "loops.h"

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
  for (const double lane : lanes) total += lane;
  return total;
}

// Largest term(i), NaN if there is one, -infinity if n is 0. NaN is looked for apart, which keeps both loops vectorizable.
template <class Term>
float maximumOf(int64_t n, Term&& term) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    float lanes[kLanes];
    std::fill(lanes, lanes + kLanes, largest);
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const float value = term(i + lane);
        lanes[lane] = value > lanes[lane] ? value : lanes[lane];
      }
    }
    for (; i < end; ++i) lanes[0] = std::max(lanes[0], term(i));
    for (const float lane : lanes) largest = std::max(largest, lane);
    int32_t unordered = 0;
    for (i = begin; i < end; ++i) unordered |= term(i) != term(i);
    if (unordered) return std::numeric_limits<float>::quiet_NaN();
  }
  return largest;
}

}  // namespace quanto::cpu
