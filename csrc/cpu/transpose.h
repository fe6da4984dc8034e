// Transposing copies of square tiles whose sides are one cache line each.
#pragma once

#include <cstdint>
#include <cstring>

#include "bypass.h"
#include "shuffle.h"

namespace quanto::cpu {

// Elements of a tile's side.
template <class T>
inline constexpr int kTileSide = 64 / sizeof(T);

// Elements of a 16-byte vector, which every machine has.
template <class T>
inline constexpr int kVectorSide = 16 / sizeof(T);

template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(16)));
};

// a and b are interleaved: element by element, the first halves or the second halves.
template <class T, class V = typename VectorOf<T>::Type>
inline V interleave(V a, V b, bool secondHalves) {
  constexpr int n = kVectorSide<T>;
  V places;
  for (int i = 0; i < n; ++i) places[i] = static_cast<T>(i / 2 + (secondHalves ? n / 2 : 0) + (i % 2 ? n : 0));
  return shuffled(a, b, places);
}

// target[i][j] = source[j][i] for squares of one vector: a perfect shuffle of the rows, repeated until every element is in its place.
template <class T>
inline void transposeSquare(const T* source, int64_t sourceStride, T* target, int64_t targetStride) {
  using V = typename VectorOf<T>::Type;
  constexpr int n = kVectorSide<T>;
  V rows[n], next[n];
  for (int i = 0; i < n; ++i) std::memcpy(&rows[i], source + i * sourceStride, sizeof(V));
  for (int width = 1; width < n; width *= 2) {
    for (int i = 0; i < n / 2; ++i) {
      next[2 * i] = interleave<T>(rows[i], rows[i + n / 2], false);
      next[2 * i + 1] = interleave<T>(rows[i], rows[i + n / 2], true);
    }
    for (int i = 0; i < n; ++i) rows[i] = next[i];
  }
  for (int i = 0; i < n; ++i) std::memcpy(target + i * targetStride, &rows[i], sizeof(V));
}

// target[i][j] = source[j][i] for a whole tile. Every line of the source is read at once, before rows that are a power of two apart can
// push each other out of the first-level cache. With `past` lines go past the caches one by one, each as a whole.
template <bool past, class T>
inline void transposeTile(const T* source, int64_t sourceStride, T* target, int64_t targetStride) {
  constexpr int side = kTileSide<T>, n = kVectorSide<T>;
  alignas(64) T lines[side][side], turned[side][side];
  T* to = past ? turned[0] : target;
  const int64_t toStride = past ? side : targetStride;
  for (int j = 0; j < side; ++j) {
    std::memcpy(lines[j], source + j * sourceStride, sizeof(lines[j]));
    if (past) __builtin_prefetch(source + j * sourceStride + 4 * side);
  }
  for (int i = 0; i < side; i += n) {
    for (int j = 0; j < side; j += n) transposeSquare(&lines[j][i], side, to + i * toStride + j, toStride);
  }
  if constexpr (past) {
    for (int i = 0; i < side; ++i) copyPastCaches(target + i * targetStride, turned[i], sizeof(turned[i]));
  }
}

}  // namespace quanto::cpu
