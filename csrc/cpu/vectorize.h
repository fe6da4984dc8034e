#pragma once

// Operands of a loop may be the same memory (in place), never shifted against each other, so vectorizing is always safe.
#if defined(__clang__)
#define QUANTO_VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#else
#define QUANTO_VECTORIZE _Pragma("GCC ivdep")
#endif
