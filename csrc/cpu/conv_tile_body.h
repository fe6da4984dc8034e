// The tiles of conv_kernel.h in the compiler's vectors, to be included once by each file that is compiled for one instruction set: no C++
// library header here. The including file gives a multiply-add.
#pragma once

#include "conv_kernel.h"

namespace quanto::cpu {
namespace {

template <int lanes>
struct Vectors {
  typedef float Float __attribute__((vector_size(lanes * 4)));
  typedef int32_t Int __attribute__((vector_size(lanes * 4)));
  typedef int8_t Codes __attribute__((vector_size(lanes)));
};

template <class Vector, class Scalar>
inline __attribute__((always_inline)) Vector broadcast(Scalar value) {
  return Vector{} + value;
}

template <class Vector>
inline __attribute__((always_inline)) Vector load(const void* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

// As quantize of row_loops_body.h: adding and subtracting 1.5 * 2^23 rounds half to even.
template <int lanes>
inline __attribute__((always_inline)) typename Vectors<lanes>::Int encodeLanes(typename Vectors<lanes>::Float x,
                                                                              typename Vectors<lanes>::Float scale) {
  using Float = typename Vectors<lanes>::Float;
  const Float zero{}, shift = broadcast<Float>(12582912.0f), low = broadcast<Float>(-128.0f), high = broadcast<Float>(127.0f);
  Float q = scale == zero ? zero : x / scale;
  q = q == q ? q : zero;
  q = q < low ? low : q;
  q = q > high ? high : q;
  return __builtin_convertvector((q + shift) - shift, typename Vectors<lanes>::Int);
}

// Sum is the vector of sums, float or int32, as `Traits` says with perElement and multiplyAdd(sum, weight, pixels).
template <class Traits>
struct ConvLoops {
  static constexpr int kLanes = Traits::kLanes;
  using Float = typename Vectors<kLanes>::Float;
  using Int = typename Vectors<kLanes>::Int;
  using Codes = typename Vectors<kLanes>::Codes;
  using Sum = typename Traits::Sum;

  static Float toFloat(Float sums) { return sums; }
  static Float toFloat(Int sums) { return __builtin_convertvector(sums, Float); }

  static void storeLanes(Float value, int64_t count, float* to) {
    if (count == kLanes) __builtin_memcpy(to, &value, sizeof value);
    else
      for (int64_t i = 0; i < count; ++i) to[i] = value[i];
  }

  static void finishRow(int vectors, const Sum* sums, const PixelVector* pixels, int64_t channel, const ConvFinish& finish) {
    const Float scale = broadcast<Float>(finish.scale ? finish.scale[channel] : 1.0f);
    const Float bias = broadcast<Float>(finish.bias ? finish.bias[channel] : 0.0f);
    const Float normScale = broadcast<Float>(finish.normScale ? finish.normScale[channel] : 0.0f);
    const Float normShift = broadcast<Float>(finish.normScale ? finish.normShift[channel] : 0.0f);
    const Float codeScale = broadcast<Float>(finish.codeScale);
    for (int v = 0; v < vectors; ++v) {
      const int64_t count = pixels[v].count, place = channel * finish.planeStride + pixels[v].place;
      Float value = toFloat(sums[v]);
      if (finish.scale) value = value * scale;
      if (finish.bias) value = value + bias;
      if (finish.normScale) value = value * normScale + normShift;
      if (finish.addend) {
        Float addend{};
        if (count == kLanes) addend = load<Float>(finish.addend + place);
        else
          for (int64_t i = 0; i < count; ++i) addend[i] = finish.addend[place + i];
        value = value + addend;
      }
      // NaN stays.
      if (finish.relu) value = value <= Float{} ? Float{} : value;
      if (finish.out) {
        storeLanes(value, count, finish.out + place);
      } else {
        const Int codes = encodeLanes<kLanes>(value, codeScale);
        const Codes narrow = __builtin_convertvector(codes, Codes);
        int8_t* to = finish.codes + place;
        if (count == kLanes) __builtin_memcpy(to, &narrow, sizeof narrow);
        else
          for (int64_t i = 0; i < count; ++i) to[i] = narrow[i];
      }
    }
  }

  template <int rows, int vectors>
  static void tileOf(const ConvTile& tile, const ConvFinish& finish) {
    Sum sums[rows][vectors];
    const uint32_t* sources[vectors];
    for (int v = 0; v < vectors; ++v) sources[v] = tile.pixels[v].source;
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[i][v] = Traits::startOf(tile.start, i);
    }
    const uint32_t* weights = tile.weights;
    for (int64_t group = 0; group < tile.groups; ++group, weights += kConvPanel) {
      const int64_t offset = tile.offsets[group];
      Sum values[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) values[v] = load<Sum>(sources[v] + offset);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const Sum weight = Traits::weightOf(weights + i);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[i][v] = Traits::multiplyAdd(sums[i][v], weight, values[v]);
      }
    }
    for (int i = 0; i < rows; ++i) finishRow(vectors, sums[i], tile.pixels, tile.channel + i, finish);
  }

  using Tile = void (*)(const ConvTile&, const ConvFinish&);
  template <int vectors>
  static void runRows(int rows, const ConvTile& tile, const ConvFinish& finish) {
    // Sizes past the largest tile are never asked for.
    constexpr int kRows = Traits::kRows;
    static constexpr Tile kTiles[kConvPanel] = {
        tileOf<1, vectors>,
        tileOf<2, vectors>,
        tileOf<kRows < 3 ? 1 : 3, vectors>,
        tileOf<kRows < 4 ? 1 : 4, vectors>,
        tileOf<kRows < 5 ? 1 : 5, vectors>,
        tileOf<kRows < 6 ? 1 : 6, vectors>,
        tileOf<kRows < 7 ? 1 : 7, vectors>,
        tileOf<kRows < 8 ? 1 : 8, vectors>,
    };
    kTiles[rows - 1](tile, finish);
  }
  static void run(int rows, int vectors, const ConvTile& tile, const ConvFinish& finish) {
    (vectors == 1 ? runRows<1> : vectors == 2 ? runRows<2> : runRows<Traits::kVectors>)(rows, tile, finish);
  }

  // Codes as they stand in an element.
  static Int place(Int codes, int index) {
    if constexpr (Traits::kPerElement == 4) return (codes + 128) << (8 * index);
    else return (codes & 0xffff) << (16 * index);
  }

  static void encode(int count, const float* const* rows, float scale, int64_t n, uint32_t* out) {
    const Float divisor = broadcast<Float>(scale);
    for (int64_t begin = 0; begin < n; begin += kLanes) {
      const int64_t left = n - begin < kLanes ? n - begin : kLanes;
      Int element{};
      for (int j = 0; j < Traits::kPerElement; ++j) {
        Float values{};
        if (j >= count) values = Float{};
        else if (left == kLanes) values = load<Float>(rows[j] + begin);
        else
          for (int64_t i = 0; i < left; ++i) values[i] = rows[j][begin + i];
        element |= place(j < count ? encodeLanes<kLanes>(values, divisor) : Int{}, j);
      }
      if (left == kLanes) __builtin_memcpy(out + begin, &element, sizeof element);
      else
        for (int64_t i = 0; i < left; ++i) out[begin + i] = static_cast<uint32_t>(element[i]);
    }
  }

  static void join(int count, const int8_t* const* rows, int64_t n, uint32_t* out) {
    for (int64_t begin = 0; begin < n; begin += kLanes) {
      const int64_t left = n - begin < kLanes ? n - begin : kLanes;
      Int element{};
      for (int j = 0; j < Traits::kPerElement; ++j) {
        Codes codes{};
        if (j < count && left == kLanes) codes = load<Codes>(rows[j] + begin);
        else if (j < count)
          for (int64_t i = 0; i < left; ++i) codes[i] = rows[j][begin + i];
        element |= place(__builtin_convertvector(codes, Int), j);
      }
      if (left == kLanes) __builtin_memcpy(out + begin, &element, sizeof element);
      else
        for (int64_t i = 0; i < left; ++i) out[begin + i] = static_cast<uint32_t>(element[i]);
    }
  }
};

template <class Traits>
constexpr ConvKernel makeConvKernel(const char* name) {
  using Loops = ConvLoops<Traits>;
  ConvKernel kernel{name, Traits::kLanes, Traits::kRows, Traits::kVectors, Traits::kPerElement, Loops::run, nullptr, nullptr};
  if constexpr (Traits::kPerElement > 1) {
    kernel.encode = Loops::encode;
    kernel.join = Loops::join;
  }
  return kernel;
}

}  // namespace
}  // namespace quanto::cpu
