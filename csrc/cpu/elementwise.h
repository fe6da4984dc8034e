// The inner loops of the rows of unary.def and binary.def on contiguous values.
#pragma once

#include <cstdint>

#include "../backend.h"

namespace quanto::cpu {

inline constexpr int kUnaryCount = 0
#define UNARY(...) +1
#include "../unary.def"
#undef UNARY
    ;
inline constexpr int kBinaryCount = 0
#define BINARY(...) +1
#include "../binary.def"
#undef BINARY
    ;

// What a row gives: the operands' own kind, always float32, or booleans (uint8_t).
enum class Result { same, real, boolean };
inline constexpr Result kUnaryResults[] = {
#define UNARY(name, result, ...) Result::result,
#include "../unary.def"
#undef UNARY
};
inline constexpr Result kBinaryResults[] = {
#define BINARY(name, result, ...) Result::result,
#include "../binary.def"
#undef BINARY
};

// T is float or int64_t; out holds T, or uint8_t for rows of booleans. A step is 1, or 0 where the operand is one broadcast value.
template <class T>
using UnaryLoop = void (*)(const T* x, void* out, int64_t n, T a, T b);
template <class T>
using BinaryLoop = void (*)(const T* x, int64_t xStep, const T* y, int64_t yStep, void* out, int64_t n);

template <class T>
struct ElementwiseLoops {
  UnaryLoop<T> unary[kUnaryCount];
  BinaryLoop<T> binary[kBinaryCount];
};

// Integer loops of rows with real results do nothing: integers become float32 first.
template <class T>
const ElementwiseLoops<T>& elementwiseLoops();

// Unary rows on int8 codes, where the result is one too.
struct CodeLoops {
  UnaryLoop<int8_t> unary[kUnaryCount];
};
const CodeLoops& codeLoops();

// One for each instruction set.
extern const ElementwiseLoops<float> kFloatLoopsRef, kFloatLoopsAvx2, kFloatLoopsAvx512;
extern const CodeLoops kCodeLoopsRef, kCodeLoopsAvx2, kCodeLoopsAvx512;

}  // namespace quanto::cpu
