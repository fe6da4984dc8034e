// How rows of an image become elements (conv_kernel.h), in the compiler's vectors; part of conv_tile_body.h.
#pragma once

#include "conv_kernel.h"
#include "shuffle.h"

namespace quanto::cpu {
namespace {

template <int lanes>
struct Vectors {
  typedef float Float __attribute__((vector_size(lanes * 4)));
  typedef int32_t Int __attribute__((vector_size(lanes * 4)));
  typedef int8_t Codes __attribute__((vector_size(lanes)));
};
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef int16_t Pairs __attribute__((vector_size(16)));

template <class Vector, class Scalar>
inline __attribute__((always_inline)) Vector broadcast(Scalar value) {
  // 0 is what a number keeps its sign under when it is taken off.
  return value - Vector{};
}

template <class Vector>
inline __attribute__((always_inline)) Vector load(const void* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}
template <class Vector>
inline __attribute__((always_inline)) void store(void* to, Vector vector) {
  __builtin_memcpy(to, &vector, sizeof vector);
}

// The codes of quantize (row_loops_body.h), to the same bits: clamp(roundHalfEven(x / scale)), 0 for NaN and for a scale of 0.
template <class Traits>
class Encoder {
 public:
  using Float = typename Vectors<Traits::kLanes>::Float;
  using Int = typename Vectors<Traits::kLanes>::Int;

  explicit Encoder(float scale)
      : scale_(broadcast<Float>(scale)),
        inverse_(broadcast<Float>(1 / scale)),
        low_(broadcast<Float>(-128 * scale)),
        high_(broadcast<Float>(127 * scale)),
        ordinary_(Traits::kFuses && scale > 0x1p-90f && scale < 0x1p90f) {}

  inline __attribute__((always_inline)) Int operator()(Float x) const {
    if constexpr (Traits::kFuses) {
      if (ordinary_) return encodeOrdinary(x);
    }
    const Float low = broadcast<Float>(-128.0f), high = broadcast<Float>(127.0f), zero{};
    Float q = scale_ == zero ? zero : x / scale_;
    q = q == q ? q : zero;
    q = q < low ? low : q;
    q = q > high ? high : q;
    // Adding and subtracting 1.5 * 2^23 rounds half to even.
    const Float shift = broadcast<Float>(12582912.0f);
    return __builtin_convertvector((q + shift) - shift, Int);
  }

 private:
  inline __attribute__((always_inline)) Int encodeOrdinary(Float x) const {
    // Bounds first: NaN, the second operand, passes both.
    x = Traits::min(high_, Traits::max(low_, x));
    // Correctly rounded division without dividing (Markstein 1990): the remainder of a near quotient is exact.
    Float q = x * inverse_;
    q = Traits::fma(Traits::subtractProduct(q, scale_, x), inverse_, q);
    q = Traits::fma(Traits::subtractProduct(q, scale_, x), inverse_, q);
    return Traits::roundEven(q);
  }

  Float scale_, inverse_, low_, high_;
  bool ordinary_;
};

template <class Traits>
struct ConvRows {
  static constexpr int kLanes = Traits::kLanes, kPerElement = Traits::kPerElement;
  using Float = typename Vectors<kLanes>::Float;
  using Int = typename Vectors<kLanes>::Int;
  using Codes = typename Vectors<kLanes>::Codes;

  // Codes as they stand in an element.
  static Int placed(Int codes, int index) {
    if constexpr (kPerElement == 4) return (codes + 128) << (8 * index);
    else return (codes & 0xffff) << (16 * index);
  }

  // step(rows from some value on, out) for whole vectors of n values: the last one may overlap the one before, and where there is none the
  // values come from and go to a copy.
  template <int lanes, class Value, class Step>
  static void forEachVector(int count, const Value* const* rows, int64_t n, uint32_t* out, Step&& step) {
    const Value* from[kPerElement];
    const auto stepAt = [&](int64_t begin) {
      for (int j = 0; j < count; ++j) from[j] = rows[j] + begin;
      step(from, out + begin);
    };
    for (int64_t begin = 0; begin + lanes <= n; begin += lanes) stepAt(begin);
    if (n % lanes == 0) return;
    if (n > lanes) {
      stepAt(n - lanes);
      return;
    }
    Value rest[kPerElement][lanes] = {};
    uint32_t elements[lanes];
    for (int j = 0; j < count; ++j) {
      for (int64_t i = 0; i < n; ++i) rest[j][i] = rows[j][i];
      from[j] = rest[j];
    }
    step(from, elements);
    for (int64_t i = 0; i < n; ++i) out[i] = elements[i];
  }

  static void encode(int count, const float* const* rows, float scale, int64_t n, uint32_t* out) {
    const Encoder<Traits> encoder(scale);
    if (count == kPerElement && n >= kLanes) {
      for (int64_t next = 0; next < n; next += kLanes) {
        const int64_t begin = next + kLanes <= n ? next : n - kLanes;
        Int element = placed(encoder(load<Float>(rows[0] + begin)), 0);
#pragma GCC unroll 4
        for (int j = 1; j < kPerElement; ++j) element |= placed(encoder(load<Float>(rows[j] + begin)), j);
        store(out + begin, element);
      }
      return;
    }
    forEachVector<kLanes>(count, rows, n, out, [&](const float* const* from, uint32_t* to) {
      Int element{};
#pragma GCC unroll 4
      for (int j = 0; j < kPerElement; ++j) element |= placed(j < count ? encoder(load<Float>(from[j])) : Int{}, j);
      store(to, element);
    });
  }

  static void join(int count, const int8_t* const* rows, int64_t n, uint32_t* out) {
    if constexpr (kPerElement == 4) {
      forEachVector<16>(count, rows, n, out, [&](const int8_t* const* from, uint32_t* to) {
        Bytes codes[4];
        for (int j = 0; j < 4; ++j) codes[j] = (j < count ? load<Bytes>(from[j]) : Bytes{}) ^ -128;
        const Bytes low{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}, high = low + 8;
        const Pairs lowPairs{0, 8, 1, 9, 2, 10, 3, 11}, highPairs = lowPairs + 4;
        const auto joinHalf = [&](Bytes half, uint32_t* at) {
          const Pairs first = (Pairs)shuffled(codes[0], codes[1], half), second = (Pairs)shuffled(codes[2], codes[3], half);
          store(at, shuffled(first, second, lowPairs));
          store(at + 4, shuffled(first, second, highPairs));
        };
        joinHalf(low, to);
        joinHalf(high, to + 8);
      });
    } else {
      forEachVector<kLanes>(count, rows, n, out, [&](const int8_t* const* from, uint32_t* to) {
        Int element{};
        for (int j = 0; j < count; ++j) element |= placed(Traits::widen(load<Codes>(from[j])), j);
        store(to, element);
      });
    }
  }

  template <int lanes>
  static void widenVector(int count, int64_t n, const uint32_t* elements, const float* scale, float* out) {
    using Some = Vectors<lanes>;
    const auto four = load<typename Some::Int>(elements);
    const auto factor = load<typename Some::Float>(scale);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      if (c < count) store(out + c * n, __builtin_convertvector(four << (24 - 8 * c) >> 24, typename Some::Float) * factor);
    }
  }

  static void widen(int count, int64_t n, const uint32_t* elements, const float* scale, float* out) {
    // Wide vectors have several elements of each channel, narrow ones a part of the channels.
    constexpr int kWide = kLanes < kConvPanel ? kConvPanel : kLanes, kRest = kLanes < kConvPanel ? kLanes : kConvPanel;
    float scales[kWide];
    for (int lane = 0; lane < kWide; ++lane) scales[lane] = scale[lane % kConvPanel];
    int64_t i = 0;
    if (count == 4) {
      for (; i + kLanes <= n; i += kLanes) widenVector<kLanes>(4, n, elements + i, scales + i % kConvPanel, out + i);
    }
    for (; i < n; i += kRest) widenVector<kRest>(count, n, elements + i, scales + i % kConvPanel, out + i);
  }

  // [begin, end), and up to a vector past it.
  static void fill(uint32_t* begin, uint32_t* end, Int value) {
    for (; begin < end; begin += kLanes) store(begin, value);
  }

  // 2 * lanes elements into the even and the odd ones.
  template <int lanes>
  static void split(const uint32_t* from, uint32_t* even, uint32_t* odd) {
    using Half = typename Vectors<lanes>::Int;
    const Half first = load<Half>(from), second = load<Half>(from + lanes);
    Half places{};
    for (int i = 0; i < lanes; ++i) places[i] = 2 * i;
    if (even) store(even, shuffled(first, second, places));
    if (odd) store(odd, shuffled(first, second, places + 1));
  }

  static void placeHalves(const RowPlacement& at, const uint32_t* row, int64_t n, uint32_t* out) {
    const int64_t padding = at.padding;
    uint32_t* even = at.parts > padding % 2 ? out + padding % 2 * at.pitch + padding / 2 : nullptr;
    uint32_t* odd = at.parts > (padding + 1) % 2 ? out + (padding + 1) % 2 * at.pitch + (padding + 1) / 2 : nullptr;
    int64_t x = 0;
    for (; x + 2 * kLanes <= n; x += 2 * kLanes) split<kLanes>(row + x, even ? even + x / 2 : nullptr, odd ? odd + x / 2 : nullptr);
    for (; x + kLanes <= n; x += kLanes) split<kLanes / 2>(row + x, even ? even + x / 2 : nullptr, odd ? odd + x / 2 : nullptr);
    for (; x < n; ++x) {
      uint32_t* to = x % 2 == 0 ? even : odd;
      if (to) to[x / 2] = row[x];
    }
  }

  // The last vector may overlap the one before.
  template <int lanes>
  static void copy(const uint32_t* from, int64_t n, uint32_t* to) {
    using Values = typename Vectors<lanes>::Int;
    for (int64_t x = 0; x + lanes <= n; x += lanes) store(to + x, load<Values>(from + x));
    if (n % lanes != 0) store(to + n - lanes, load<Values>(from + n - lanes));
  }

  // Rows of stride 1, of which `n` values are read by some window.
  static void placeWhole(const RowPlacement& at, int64_t count, int64_t n, const uint32_t* rows, uint32_t* out) {
    const Int zero = broadcast<Int>(static_cast<int32_t>(at.zero));
    for (int64_t r = 0; r < count; ++r, rows += at.width, out += at.pitch) {
      uint32_t* inside = out + at.padding;
      fill(out, inside < out + at.pitch ? inside : out + at.pitch, zero);
      if (n >= kLanes) {
        copy<kLanes>(rows, n, inside);
      } else if (n >= kLanes / 2) {
        copy<kLanes / 2>(rows, n, inside);
      } else {
        for (int64_t x = 0; x < n; ++x) inside[x] = rows[x];
      }
      if (at.padding + at.width < at.pitch) fill(inside + (n > 0 ? n : 0), out + at.pitch, zero);
    }
  }

  static void placeStrided(const RowPlacement& at, const uint32_t* row, uint32_t* out) {
    fill(out, out + at.parts * at.pitch, broadcast<Int>(static_cast<int32_t>(at.zero)));
    if (at.stride == 2 && at.padding + at.width <= 2 * at.pitch) {
      placeHalves(at, row, at.width, out);
      return;
    }
    for (int64_t x = 0; x < at.width; ++x) {
      const int64_t position = x + at.padding, part = position % at.stride, index = position / at.stride;
      if (part < at.parts && index < at.pitch) out[part * at.pitch + index] = row[x];
    }
  }

  static void place(const RowPlacement& at, int64_t count, const uint32_t* rows, uint32_t* out) {
    const int64_t room = at.pitch - at.padding;
    if (!rows) {
      fill(out, out + count * at.parts * at.pitch, broadcast<Int>(static_cast<int32_t>(at.zero)));
    } else if (at.stride == 1) {
      placeWhole(at, count, at.width < room ? at.width : room, rows, out);
    } else {
      for (int64_t r = 0; r < count; ++r) placeStrided(at, rows + r * at.width, out + r * at.parts * at.pitch);
    }
  }
};

}  // namespace
}  // namespace quanto::cpu
