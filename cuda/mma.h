// Words of two halves or four codes, and their products by tensor cores: of a 16 x 16 by a 16 x 8 matrix of float16 or bfloat16, or of 16 x
// 32 by 32 x 8 codes, which the lanes of a warp hold together. Where a lane's elements lie is said in the PTX manual under mma.m16n8k16 and
// m16n8k32: with e = lane / 4 and q = lane % 4, word i of a is in row e + i % 2 * 8 and words q + i / 2 * 4 of the row, word i of b in
// column e and words q + i * 4; sum i is in row e + i / 2 * 8 and column 2 q + i % 2.
#pragma once

#include "elements.h"

namespace quanto::cuda {

// The first generation that multiplies these shapes.
inline constexpr int kTensorCoreMajor = 8;

QUANTO_DEVICE inline void widenTwo(unsigned word, DType dtype, float* out) {
  const bool brain = dtype == DType::bfloat16;
  out[0] = brain ? floatOf(word << 16) : halfToFloat(static_cast<uint16_t>(word & 0xffffu));
  out[1] = brain ? floatOf(word & 0xffff0000u) : halfToFloat(static_cast<uint16_t>(word >> 16));
}

// Two floats as a word of the dtype.
template <DType dtype>
QUANTO_DEVICE inline unsigned narrowTwo(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned word;
  if constexpr (dtype == DType::float16) asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  else asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
#else
  return fromFloat<dtype>(first) | static_cast<unsigned>(fromFloat<dtype>(second)) << 16;
#endif
}

#if defined(__CUDACC__)

// sums += a . b. Volatile, so that no branch that only some lanes take gets hold of it.
template <DType dtype>
QUANTO_DEVICE inline void multiplyFragments([[maybe_unused]] float (&sums)[4], [[maybe_unused]] const unsigned (&a)[4],
                                            [[maybe_unused]] const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (dtype == DType::float16)
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
template <DType dtype>
QUANTO_DEVICE inline void multiplyFragments([[maybe_unused]] int (&sums)[4], [[maybe_unused]] const unsigned (&a)[4],
                                            [[maybe_unused]] const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#else

// The product of two words' elements, added.
template <DType dtype>
float multiplyWords(unsigned a, unsigned b, float sum) {
  for (int i = 0; i < 2; ++i) {
    const auto half = [i](unsigned word) { return toFloat<dtype>(static_cast<uint16_t>(word >> (16 * i))); };
    sum = multiplyAdd(half(a), half(b), sum);
  }
  return sum;
}
template <DType dtype>
int multiplyWords(unsigned a, unsigned b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}

template <DType dtype, class Sum>
void multiplyFragments(Sum (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, e = lane / 4, q = lane % 4;
  const auto both = [](unsigned low, unsigned high) { return low | static_cast<uint64_t>(high) << 32; };
  // Of each lane: the words of a's left half, those of its right half, and those of b.
  uint64_t left[kWarp], right[kWarp], columns[kWarp];
  emulator::exchangeAll(both(a[0], a[1]), left);
  emulator::exchangeAll(both(a[2], a[3]), right);
  emulator::exchangeAll(both(b[0], b[1]), columns);
  for (int word = 0; word < 8; ++word) {
    // A pointer, because GCC 12 under UBSan takes the wrong element of an array that is chosen within a subscript.
    const uint64_t* half = word < 4 ? left : right;
    for (int i = 0; i < 4; ++i) {
      const uint64_t row = half[e * 4 + word % 4] >> (i / 2 * 32);
      const uint64_t column = columns[(2 * q + i % 2) * 4 + word % 4] >> (word / 4 * 32);
      sums[i] = multiplyWords<dtype>(static_cast<unsigned>(row), static_cast<unsigned>(column), sums[i]);
    }
  }
}

#endif

}  // namespace quanto::cuda
