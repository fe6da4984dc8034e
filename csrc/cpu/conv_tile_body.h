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
  // -0 is the number that changes nothing when added.
  return value - Vector{};
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

// `Traits` says how large tiles are, what a vector of sums is, what it starts with, how a weight and two half vectors of pixels are loaded,
// and how a weight times pixels is added.
template <class Traits>
struct ConvLoops {
  static constexpr int kLanes = Traits::kLanes;
  using Float = typename Vectors<kLanes>::Float;
  using Int = typename Vectors<kLanes>::Int;
  using Codes = typename Vectors<kLanes>::Codes;
  using Sum = typename Traits::Sum;

  static Float toFloat(Float sums) { return sums; }
  static Float toFloat(Int sums) { return __builtin_convertvector(sums, Float); }

  // The lanes of pixels that exist, as they stand in memory: body(lane, offset from the first pixel).
  template <class Body>
  static void forEachPixel(const PixelVector& pixels, Body&& body) {
    for (int row = 0; row < pixels.rows; ++row) {
      for (int i = 0; i < pixels.count; ++i) body(row * (kLanes / 2) + i, row * pixels.count + i);
    }
  }

  static void finishRow(int vectors, const Sum* sums, const PixelVector* pixels, int64_t channel, const ConvFinish& finish) {
    const Float scale = broadcast<Float>(finish.scale ? finish.scale[channel] : 1.0f);
    const Float bias = broadcast<Float>(finish.bias ? finish.bias[channel] : 0.0f);
    const Float normScale = broadcast<Float>(finish.normScale ? finish.normScale[channel] : 0.0f);
    const Float normShift = broadcast<Float>(finish.normScale ? finish.normShift[channel] : 0.0f);
    const Float codeScale = broadcast<Float>(finish.codeScale);
    for (int v = 0; v < vectors; ++v) {
      const PixelVector& at = pixels[v];
      const bool full = at.rows * at.count == kLanes;
      const int64_t place = channel * finish.planeStride + at.place;
      Float value = toFloat(sums[v]);
      if (finish.scale) value = value * scale;
      if (finish.bias) value = value + bias;
      if (finish.normScale) value = value * normScale + normShift;
      if (finish.addend) {
        Float addend{};
        if (full) addend = load<Float>(finish.addend + place);
        else forEachPixel(at, [&](int lane, int offset) { addend[lane] = finish.addend[place + offset]; });
        value = value + addend;
      }
      // NaN stays.
      if (finish.relu) value = value <= Float{} ? Float{} : value;
      if (finish.out) {
        if (full) __builtin_memcpy(finish.out + place, &value, sizeof value);
        else forEachPixel(at, [&](int lane, int offset) { finish.out[place + offset] = value[lane]; });
      } else {
        const Codes codes = __builtin_convertvector(encodeLanes<kLanes>(value, codeScale), Codes);
        if (full) __builtin_memcpy(finish.codes + place, &codes, sizeof codes);
        else forEachPixel(at, [&](int lane, int offset) { finish.codes[place + offset] = codes[lane]; });
      }
    }
  }

  template <int rows, int vectors, bool halved>
  static void tileOf(const ConvTile& tile, const ConvFinish& finish) {
    Sum sums[rows][vectors];
    const uint32_t* sources[vectors];
    int64_t seconds[vectors];
    for (int v = 0; v < vectors; ++v) {
      sources[v] = tile.pixels[v].source;
      if constexpr (halved) seconds[v] = tile.pixels[v].second - tile.pixels[v].source;
    }
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
      for (int v = 0; v < vectors; ++v) {
        const uint32_t* from = sources[v] + offset;
        if constexpr (halved) values[v] = Traits::join(from, from + seconds[v]);
        else values[v] = load<Sum>(from);
      }
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const Sum weight = Traits::weightOf(weights + i);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[i][v] = Traits::multiplyAdd(sums[i][v], weight, values[v]);
      }
    }
    // A copy, so that the sums above stay in registers.
    Sum finished[rows][vectors];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) finished[i][v] = sums[i][v];
    }
    for (int i = 0; i < rows; ++i) finishRow(vectors, finished[i], tile.pixels, tile.channel + i, finish);
  }

  using Tile = void (*)(const ConvTile&, const ConvFinish&);
  template <int vectors, bool halved>
  static void runRows(int rows, const ConvTile& tile, const ConvFinish& finish) {
    // Sizes past the largest tile are never asked for.
    constexpr int kRows = Traits::kRows;
    static constexpr Tile kTiles[kConvPanel] = {
        tileOf<1, vectors, halved>,
        tileOf<2, vectors, halved>,
        tileOf<kRows < 3 ? 1 : 3, vectors, halved>,
        tileOf<kRows < 4 ? 1 : 4, vectors, halved>,
        tileOf<kRows < 5 ? 1 : 5, vectors, halved>,
        tileOf<kRows < 6 ? 1 : 6, vectors, halved>,
        tileOf<kRows < 7 ? 1 : 7, vectors, halved>,
        tileOf<kRows < 8 ? 1 : 8, vectors, halved>,
    };
    kTiles[rows - 1](tile, finish);
  }
  template <bool halved>
  static void runVectors(int rows, int vectors, const ConvTile& tile, const ConvFinish& finish) {
    (vectors == 1 ? runRows<1, halved> : vectors == 2 ? runRows<2, halved> : runRows<Traits::kVectors, halved>)(rows, tile, finish);
  }
  static void run(int rows, int vectors, const ConvTile& tile, const ConvFinish& finish) {
    (tile.halved ? runVectors<true> : runVectors<false>)(rows, vectors, tile, finish);
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
