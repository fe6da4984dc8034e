// The loops that all instruction sets share. `Codes` reads a vector of 64 bytes and gives the 16 values at a place of it; it is a class
// template on BitsCode with these members, `Vector` being a register or an array of 16 floats:
//   Codes(const uint8_t* vector);  Vector centred(int place, const Constants&);  Vector value(int place);
// Constants are what a loop keeps in registers; centred values are what is streamed, values are the codes themselves; of float8 both are
// the same.
#pragma once

#include "weight_bits.h"

namespace quanto::cpu {

template <class Codes, BitsCode code, class Traits>
static inline void unpackBlock(const BitsBlock& block) {
  constexpr int64_t kValues = bitsValues(code);
  const int64_t groupBytes = bitsGroupBytes(code, block.groupSize), firstGroup = block.first / block.groupSize;
  int64_t group = firstGroup, at = block.first % block.groupSize;
  float* out = block.out;
  for (int64_t left = block.count; left > 0; ++group, at = 0) {
    const int64_t end = at + left < block.groupSize ? at + left : block.groupSize;
    const auto scale = Traits::load(block.scale + (group - firstGroup) * kBitsColumns);
    const auto shift = block.shift ? Traits::load(block.shift + (group - firstGroup) * kBitsColumns) : Traits::zero();
    left -= end - at;
    if (at % kValues == 0) {
      for (; at + kValues <= end; at += kValues, out += kValues * block.outStride) {
        const Codes codes(block.codes + group * groupBytes + at / kValues * kBitsVector);
#pragma GCC unroll 16
        for (int p = 0; p < kValues; ++p) Traits::store(out + p * block.outStride, Traits::affine(scale, codes.value(p), shift));
      }
    }
    while (at < end) {
      const Codes codes(block.codes + group * groupBytes + at / kValues * kBitsVector);
      const int64_t stop = (at / kValues + 1) * kValues < end ? (at / kValues + 1) * kValues : end;
      for (; at < stop; ++at, out += block.outStride)
        Traits::store(out, Traits::affine(scale, codes.value(static_cast<int>(at % kValues)), shift));
    }
  }
}

// Few rows wait for codes from memory, which the hardware fetches too late: each panel is a stream that has just begun. Bytes ahead.
constexpr int64_t kBitsAhead = 2048;

template <class Codes, BitsCode code, class Traits, int rows>
static inline void streamPanel(const BitsRows& product) {
  constexpr int kValues = static_cast<int>(bitsValues(code));
  // A sum waits for itself: few rows have several.
  constexpr int kWanted = Traits::kSums / rows, kChains = kWanted >= 4 ? 4 : kWanted >= 2 ? 2 : 1;
  const typename Codes::Constants constants;
  const int64_t whole = product.groupSize / kValues;
  const int rest = static_cast<int>(product.groupSize % kValues);
  typename Traits::Vector totals[rows];
  for (auto& total : totals) total = Traits::zero();
  const uint8_t* codes = product.codes;
  const float *a = product.a, *scale = product.scale, *shift = product.shift, *aSums = product.aSums;
  for (int64_t group = product.groups; group > 0; --group, scale += kBitsColumns) {
    typename Traits::Vector sums[rows][kChains];
    for (auto& row : sums) {
      for (auto& sum : row) sum = Traits::zero();
    }
    for (int64_t v = whole; v > 0; --v, codes += kBitsVector, a += kValues * rows) {
      __builtin_prefetch(codes + kBitsAhead);
      const Codes vector(codes);
#pragma GCC unroll 16
      for (int p = 0; p < kValues; ++p) {
        const auto values = vector.centred(p, constants);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) sums[i][p % kChains] = Traits::multiplyAdd(a[p * rows + i], values, sums[i][p % kChains]);
      }
    }
    if (rest > 0) {
      const Codes vector(codes);
      codes += kBitsVector;
      for (int p = 0; p < rest; ++p, a += rows) {
        const auto values = vector.centred(p, constants);
        for (int i = 0; i < rows; ++i) sums[i][0] = Traits::multiplyAdd(a[i], values, sums[i][0]);
      }
    }
    const auto factor = Traits::load(scale);
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
      for (int half = kChains / 2; half > 0; half /= 2) {
#pragma GCC unroll 4
        for (int chain = 0; chain < half; ++chain) sums[i][chain] = Traits::add(sums[i][chain], sums[i][chain + half]);
      }
      totals[i] = Traits::fused(factor, sums[i][0], totals[i]);
    }
    if (!shift) continue;
    const auto offset = Traits::affine(factor, Traits::all(bitsCenter(code)), Traits::load(shift));
    for (int i = 0; i < rows; ++i) totals[i] = Traits::multiplyAdd(aSums[i], offset, totals[i]);
    shift += kBitsColumns;
    aSums += rows;
  }
  for (int i = 0; i < rows; ++i) {
    if (product.bias) totals[i] = Traits::add(totals[i], Traits::load(product.bias));
    Traits::store(product.c + i * product.cStride, totals[i]);
  }
}

// 1 <= rows <= most; a panel for each number of rows that a kernel takes, and no more.
template <class Codes, BitsCode code, class Traits, int most>
static inline void streamRows(int rows, const BitsRows& product) {
  if constexpr (most > 1) {
    if (rows < most) return streamRows<Codes, code, Traits, most - 1>(rows, product);
  }
  streamPanel<Codes, code, Traits, most>(product);
}

template <template <BitsCode> class Codes, class Traits, int most>
static void streamAny(int rows, const BitsRows& product) {
  switch (product.code) {
    case BitsCode::int2:
      return streamRows<Codes<BitsCode::int2>, BitsCode::int2, Traits, most>(rows, product);
    case BitsCode::int4:
      return streamRows<Codes<BitsCode::int4>, BitsCode::int4, Traits, most>(rows, product);
    case BitsCode::e4m3fn:
      return streamRows<Codes<BitsCode::e4m3fn>, BitsCode::e4m3fn, Traits, most>(rows, product);
    case BitsCode::e4m3fnuz:
      return streamRows<Codes<BitsCode::e4m3fnuz>, BitsCode::e4m3fnuz, Traits, most>(rows, product);
    case BitsCode::e5m2:
      return streamRows<Codes<BitsCode::e5m2>, BitsCode::e5m2, Traits, most>(rows, product);
  }
}

template <template <BitsCode> class Codes, class Traits>
static void unpackAny(const BitsBlock& block) {
  switch (block.code) {
    case BitsCode::int2:
      return unpackBlock<Codes<BitsCode::int2>, BitsCode::int2, Traits>(block);
    case BitsCode::int4:
      return unpackBlock<Codes<BitsCode::int4>, BitsCode::int4, Traits>(block);
    case BitsCode::e4m3fn:
      return unpackBlock<Codes<BitsCode::e4m3fn>, BitsCode::e4m3fn, Traits>(block);
    case BitsCode::e4m3fnuz:
      return unpackBlock<Codes<BitsCode::e4m3fnuz>, BitsCode::e4m3fnuz, Traits>(block);
    case BitsCode::e5m2:
      return unpackBlock<Codes<BitsCode::e5m2>, BitsCode::e5m2, Traits>(block);
  }
}

// The same with integer operands. `Integers` gives the unsigned codes of a part of a vector; Traits have Sums, 16 int32, and
//   Sums begin(int32_t): that number for all;
//   Sums dot(Sums, Codes, const int8_t* four): adds the products of each column's 4 codes with the 4 values.
template <class Integers, BitsCode code, class Traits, int rows>
static inline void multiplyPanel(const BitsIntegerRows& product) {
  constexpr int kParts = bitsParts(code);
  const int64_t vectors = (product.groupSize + bitsValues(code) - 1) / bitsValues(code);
  typename Traits::Vector totals[rows];
  for (auto& total : totals) total = Traits::zero();
  const uint8_t* codes = product.codes;
  const int8_t* a = product.a;
  for (int64_t group = 0; group < product.groups; ++group) {
    typename Traits::Sums sums[rows];
    for (int i = 0; i < rows; ++i) sums[i] = Traits::begin(product.centring[group * rows + i]);
    const auto step = [&](int64_t v) __attribute__((always_inline)) {
      const Integers vector(codes + v * kBitsVector);
#pragma GCC unroll 4
      for (int part = 0; part < kParts; ++part) {
        const auto values = vector.part(part);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) sums[i] = Traits::dot(sums[i], values, a + ((v * kParts + part) * rows + i) * 4);
      }
    };
    // Two groups of 64 bytes at a time: small groups have few, and a loop costs as much as one.
    int64_t v = 0;
    for (; v + 2 <= vectors; v += 2, codes += 2 * kBitsVector, a += 2 * kParts * rows * 4) {
      step(0);
      step(1);
    }
    for (; v < vectors; ++v, codes += kBitsVector, a += kParts * rows * 4) step(0);
    const auto scale = Traits::load(product.scale + group * kBitsColumns);
    const auto offset = Traits::affine(scale, Traits::all(bitsCenter(code)), Traits::load(product.shift + group * kBitsColumns));
    for (int i = 0; i < rows; ++i) {
      totals[i] = Traits::add(totals[i], Traits::multiply(scale, Traits::toFloat(sums[i])));
      totals[i] = Traits::add(totals[i], Traits::multiply(offset, Traits::all(product.aSums[group * rows + i])));
    }
  }
  for (int i = 0; i < rows; ++i) {
    totals[i] = Traits::multiply(totals[i], Traits::all(product.rowScale[i]));
    if (product.bias) totals[i] = Traits::add(totals[i], Traits::load(product.bias));
    Traits::store(product.c + i * product.cStride, totals[i]);
  }
}

template <class Integers, BitsCode code, class Traits, int most>
static inline void multiplyRows(int rows, const BitsIntegerRows& product) {
  if constexpr (most > 1) {
    if (rows < most) return multiplyRows<Integers, code, Traits, most - 1>(rows, product);
  }
  multiplyPanel<Integers, code, Traits, most>(product);
}

template <template <BitsCode> class Parts, class Traits, int most>
static void multiplyAny(int rows, const BitsIntegerRows& product) {
  if (product.code == BitsCode::int2) multiplyRows<Parts<BitsCode::int2>, BitsCode::int2, Traits, most>(rows, product);
  else multiplyRows<Parts<BitsCode::int4>, BitsCode::int4, Traits, most>(rows, product);
}

// What turns the stored two's complements of a vector into unsigned codes: the highest bit of each.
static constexpr uint32_t bitsSigns(BitsCode code) { return code == BitsCode::int2 ? 0xaaaaaaaau : 0x88888888u; }
static constexpr uint32_t bitsPartMask(BitsCode code) { return code == BitsCode::int2 ? 0x03030303u : 0x0f0f0f0fu; }

// The smallest exponents of float8 are in reach of float16, to which a code is moved by bits: value = float16 * 2^this.
static constexpr float float8Factor(BitsCode code) {
  return code == BitsCode::e4m3fn ? 256.0f : code == BitsCode::e4m3fnuz ? 128.0f : 1.0f;
}

}  // namespace quanto::cpu
