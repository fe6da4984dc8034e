// The rows of unary.def and binary.def as device functions.
#pragma once

#include "../csrc/scalar_math.h"
#include "elements.h"

namespace quanto::cuda {

// What a row gives: the operands' own kind, always float32, or booleans.
enum class Result { same, real, boolean };

inline Result unaryResult(int32_t op) {
  static constexpr Result kResults[] = {
#define UNARY(name, result, ...) Result::result,
#include "../csrc/unary.def"
#undef UNARY
  };
  return kResults[op];
}

inline Result binaryResult(int32_t op) {
  static constexpr Result kResults[] = {
#define BINARY(name, result, ...) Result::result,
#include "../csrc/binary.def"
#undef BINARY
  };
  return kResults[op];
}

// T is float or int64_t; integers have no rows of real results. Every thread of a launch takes the same branch.
template <class T>
QUANTO_DEVICE T unaryRow(UnaryOp op, T x, [[maybe_unused]] T a, [[maybe_unused]] T b) {
  switch (op) {
#define UNARY(name, result, ...)                                                                    \
  case UnaryOp::name:                                                                               \
    if constexpr (isFloat<T> || Result::result != Result::real) return static_cast<T>(__VA_ARGS__); \
    break;
#include "../csrc/unary.def"
#undef UNARY
  }
  return x;
}

template <class T>
QUANTO_DEVICE T binaryRow(BinaryOp op, T x, T y) {
  switch (op) {
#define BINARY(name, result, ...)                                                                   \
  case BinaryOp::name:                                                                              \
    if constexpr (isFloat<T> || Result::result != Result::real) return static_cast<T>(__VA_ARGS__); \
    break;
#include "../csrc/binary.def"
#undef BINARY
  }
  return x;
}

}  // namespace quanto::cuda
