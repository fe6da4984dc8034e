// The loops of unary.def and binary.def, to be included once by each file that is compiled for one instruction set (float32), and by the
// integer loops. The including file has defined `math`, whose functions the rows call.
#pragma once

#include "elementwise.h"
#include "vectorize.h"

namespace quanto::cpu {
namespace {

template <Result result, class T>
struct ResultType {
  using Type = T;
};
template <class T>
struct ResultType<Result::boolean, T> {
  using Type = uint8_t;
};

// Integers have no rows of real results.
template <class T>
inline constexpr bool hasReal = false;
template <>
inline constexpr bool hasReal<float> = true;

template <class T>
struct Unary {
#define UNARY(name, result, ...)                                                                           \
  static void name(const T* source, void* target, int64_t n, [[maybe_unused]] T a, [[maybe_unused]] T b) { \
    if constexpr (hasReal<T> || Result::result != Result::real) {                                          \
      using R = typename ResultType<Result::result, T>::Type;                                              \
      R* out = static_cast<R*>(target);                                                                    \
      QUANTO_VECTORIZE                                                                                     \
      for (int64_t i = 0; i < n; ++i) {                                                                    \
        const T x = source[i];                                                                             \
        out[i] = static_cast<R>(__VA_ARGS__);                                                              \
      }                                                                                                    \
    }                                                                                                      \
  }
#include "../unary.def"
#undef UNARY
};

// One loop for each pattern of broadcast keeps the constant in a register.
template <class T, class R, class Row>
inline void binaryLoop(const T* x, int64_t xStep, const T* y, int64_t yStep, void* target, int64_t n, Row row) {
  R* out = static_cast<R*>(target);
  if (xStep == 0) {
    const T first = *x;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(row(first, y[yStep * i]));
  } else if (yStep == 0) {
    const T second = *y;
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(row(x[i], second));
  } else {
    QUANTO_VECTORIZE
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<R>(row(x[i], y[i]));
  }
}

template <class T>
struct Binary {
#define BINARY(name, result, ...)                                                                  \
  static void name(const T* xs, int64_t xStep, const T* ys, int64_t yStep, void* out, int64_t n) { \
    if constexpr (hasReal<T> || Result::result != Result::real) {                                  \
      using R = typename ResultType<Result::result, T>::Type;                                      \
      binaryLoop<T, R>(xs, xStep, ys, yStep, out, n, [](T x, T y) { return __VA_ARGS__; });        \
    }                                                                                              \
  }
#include "../binary.def"
#undef BINARY
};

// A template, so that only the files that use it make these loops.
template <class Code>
constexpr CodeLoops makeCodeLoops() {
  return {{
#define UNARY(name, ...) Unary<Code>::name,
#include "../unary.def"
#undef UNARY
  }};
}

template <class T>
constexpr ElementwiseLoops<T> makeLoops() {
  return {{
#define UNARY(name, ...) Unary<T>::name,
#include "../unary.def"
#undef UNARY
          },
          {
#define BINARY(name, ...) Binary<T>::name,
#include "../binary.def"
#undef BINARY
          }};
}

}  // namespace
}  // namespace quanto::cpu
