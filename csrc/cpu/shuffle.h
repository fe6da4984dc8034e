// Shuffles of vectors in the form that both compilers know. Everything is local to its file, and no C++ library header is used.
#pragma once

namespace quanto::cpu {
namespace {

// Element i of the result is the one at places[i] of a and, counted on, of b.
template <class Vector, class Places>
__attribute__((always_inline)) inline Vector shuffled(Vector a, Vector b, Places places) {
#if defined(__clang__)
  constexpr int n = sizeof(Vector) / sizeof(a[0]);
  Vector result;
  for (int i = 0; i < n; ++i) result[i] = places[i] < n ? a[places[i]] : b[places[i] - n];
  return result;
#else
  return __builtin_shuffle(a, b, places);
#endif
}

}  // namespace
}  // namespace quanto::cpu
