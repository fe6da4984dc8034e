// Sums and maxima of runs, in a fixed order of operations that the compiler can vectorize, and walks over long rows.
#pragma once

#include <cstdint>

namespace quanto::cpu {

inline constexpr int kLanes = 16;

// lanes[0] = 2 * width lanes joined in halves, so that no step waits for the one before. Each width has a loop of its own: in one loop over
// all widths the compiler would load what it has stored in other parts, for which a processor waits.
template <int width, class Value, class Join>
inline void joinLanes(Value* lanes, Join join) {
  if constexpr (width > 0) {
    for (int lane = 0; lane < width; ++lane) lanes[lane] = join(lanes[lane], lanes[lane + width]);
    joinLanes<width / 2>(lanes, join);
  }
}

// body(begin, end) for blocks that make up a row x, while memory brings the row that follows: what computes on a row of several pages would
// leave memory idle meanwhile. Short rows follow each other closely enough for the processor to foresee them.
template <class Body>
inline void fetchingNext(const float* x, int64_t n, Body&& body) {
  constexpr int64_t kLong = 1024, kBlock = 256, kLine = 16;
  if (n < kLong) return body(0, n);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = begin + kBlock < n ? begin + kBlock : n;
    // An address, for there may be no such row.
    for (int64_t i = begin; i < end; i += kLine)
      __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(x) + (n + i) * sizeof(float)), 0, 2);
    body(begin, end);
  }
}

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
  joinLanes<kLanes / 2>(lanes, [](double x, double y) { return x + y; });
  return total + lanes[0];
}

static inline float same(float x) { return x; }

// largestNumber of at least `width` values, with so many running maxima.
template <float (*lift)(float), int width, class See>
float largestOfLanes(const float* x, int64_t n, See&& see) {
  constexpr int64_t kBlock = 8 * width;
  float maxima[width];
  for (float& value : maxima) value = -__builtin_inff();
  // count is a multiple of width.
  const auto take = [&](const float* block, int64_t count) __attribute__((always_inline)) {
    for (int64_t begin = 0; begin < count; begin += width) {
      for (int i = 0; i < width; ++i) {
        const float value = lift(block[begin + i]);
        maxima[i] = value > maxima[i] ? value : maxima[i];  // never NaN
      }
    }
    see(block, count);
  };
  const int64_t whole = n - n % width;
  for (int64_t begin = 0; begin < whole; begin += kBlock) take(x + begin, whole - begin < kBlock ? whole - begin : kBlock);
  if (whole < n) take(x + n - width, width);
  joinLanes<width / 2>(maxima, [](float a, float b) { return a > b ? a : b; });
  return maxima[0];
}

// The largest lift(x[i]) that is a number; -infinity where there is none. Calls see(block, count) for blocks that make up x and lie in the
// first-level cache then; some values come twice.
template <float (*lift)(float), class See>
float largestNumber(const float* x, int64_t n, See&& see) {
  // As many maxima as keep every vector unit busy, where there are so many values.
  constexpr int kMany = 64, kFew = 16;
  if (n >= kMany) return largestOfLanes<lift, kMany>(x, n, see);
  if (n >= kFew) return largestOfLanes<lift, kFew>(x, n, see);
  if (n == 0) return -__builtin_inff();
  // Filled up with a value that is there.
  float block[kFew];
  for (int i = 0; i < kFew; ++i) block[i] = x[i < n ? i : 0];
  return largestOfLanes<lift, kFew>(block, kFew, see);
}

}  // namespace quanto::cpu
