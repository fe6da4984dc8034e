// The tiles of conv_kernel.h in the compiler's vectors, to be included once by each file that is compiled for one instruction set: no C++
// library header here. The including file gives a multiply-add.
#pragma once

#include "conv_rows_body.h"

namespace quanto::cpu {
namespace {

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

  static void finishRow(int vectors, const Sum* sums, const PixelVector* pixels, int64_t channel, const ConvFinish& finish,
                        const Encoder<Traits>& encoder) {
    const auto valueOf = [&](const float* values) { return broadcast<Float>(values ? values[channel] : 0); };
    const Float scale = valueOf(finish.scale), bias = valueOf(finish.bias);
    const Float normScale = valueOf(finish.normScale), normShift = valueOf(finish.normShift);
    for (int v = 0; v < vectors; ++v) {
      const PixelVector& at = pixels[v];
      const bool full = at.rows * at.count == kLanes;
      const int64_t place = channel * finish.planeStride + at.place;
      Float value = toFloat(sums[v]);
      if (finish.scale) value = value * scale;
      if (finish.bias) value = value + bias;
      if (finish.normScale) value = value * normScale + normShift;
      if (finish.addend) {
        const float* from = finish.addend + channel * finish.addendStride + at.place;
        Float addend{};
        if (full) addend = load<Float>(from);
        else forEachPixel(at, [&](int lane, int offset) { addend[lane] = from[offset]; });
        value = value + addend;
      }
      // NaN, the second operand, stays.
      if (finish.relu) value = Traits::max(Float{}, value);
      if (finish.out) {
        if (full) __builtin_memcpy(finish.out + place, &value, sizeof value);
        else forEachPixel(at, [&](int lane, int offset) { finish.out[place + offset] = value[lane]; });
      } else {
        const Codes codes = Traits::narrow(encoder(value));
        if (full) __builtin_memcpy(finish.codes + place, &codes, sizeof codes);
        else forEachPixel(at, [&](int lane, int offset) { finish.codes[place + offset] = codes[lane]; });
      }
    }
  }

  // The same for whole vectors, which tiles mostly have: no choice within the loops, and steps that are left out change nothing (* 1, + -0,
  // maximum with -infinity).
  template <int vectors, bool toCodes, bool adds>
  static void finishWhole(int rows, const Sum (*sums)[vectors], const ConvTile& tile, const ConvFinish& finish) {
    const Encoder<Traits> encoder(finish.codeScale);
    const Float lowest = broadcast<Float>(finish.relu ? 0 : -__builtin_inff());
    int64_t places[vectors];
    for (int v = 0; v < vectors; ++v) places[v] = tile.pixels[v].place;
    for (int i = 0; i < rows; ++i) {
      const int64_t channel = tile.channel + i;
      const auto valueOf = [&](const float* values, float none) { return broadcast<Float>(values ? values[channel] : none); };
      const Float scale = valueOf(finish.scale, 1), bias = valueOf(finish.bias, -0.0f);
      const Float normScale = valueOf(finish.normScale, 1), normShift = valueOf(finish.normShift, -0.0f);
      const float* addend = adds ? finish.addend + channel * finish.addendStride : nullptr;
      float* out = toCodes ? nullptr : finish.out + channel * finish.planeStride;
      int8_t* codes = toCodes ? finish.codes + channel * finish.planeStride : nullptr;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        Float value = (toFloat(sums[i][v]) * scale + bias) * normScale + normShift;
        if constexpr (adds) value = value + load<Float>(addend + places[v]);
        value = Traits::max(lowest, value);
        if constexpr (toCodes) store(codes + places[v], Traits::narrow(encoder(value)));
        else store(out + places[v], value);
      }
    }
  }

  template <int vectors>
  static void finishTile(int rows, const Sum (*sums)[vectors], const ConvTile& tile, const ConvFinish& finish) {
    bool whole = true;
    for (int v = 0; v < vectors; ++v) whole = whole && tile.pixels[v].rows * tile.pixels[v].count == kLanes;
    if (whole) {
      const auto run = finish.codes ? (finish.addend ? finishWhole<vectors, true, true> : finishWhole<vectors, true, false>)
                                    : (finish.addend ? finishWhole<vectors, false, true> : finishWhole<vectors, false, false>);
      run(rows, sums, tile, finish);
      return;
    }
    const Encoder<Traits> encoder(finish.codeScale);
    for (int i = 0; i < rows; ++i) finishRow(vectors, sums[i], tile.pixels, tile.channel + i, finish, encoder);
  }

  // The rows of the output are far apart and not used before the sums are finished: fetched meanwhile.
  static inline __attribute__((always_inline)) void prefetchOutput(int rows, int vectors, const ConvTile& tile, const ConvFinish& finish) {
    const int64_t bytes = finish.codes ? 1 : sizeof(float), stride = finish.planeStride * bytes;
    const char* out = finish.codes ? reinterpret_cast<const char*>(finish.codes) : reinterpret_cast<const char*>(finish.out);
    for (int v = 0; v < vectors; ++v) {
      const int64_t place = tile.pixels[v].place;
      const char* plane = out + tile.channel * stride + place * bytes;
      for (int i = 0; i < rows; ++i, plane += stride) __builtin_prefetch(plane, 1);
      if (!finish.addend) continue;
      const float* addend = finish.addend + tile.channel * finish.addendStride + place;
      for (int i = 0; i < rows; ++i, addend += finish.addendStride) __builtin_prefetch(addend);
    }
  }

  // Each pointer serves three channels, at 0, 1 and 2 strides, so that their addresses fit in the general registers.
  template <int rows>
  struct Weights {
    static constexpr int kPointers = (rows + 2) / 3;
    static constexpr bool kAnyStride = Traits::kPerElement == 1;
    const uint32_t* pointers[kPointers];
    int64_t channelStride, groupStride;

    explicit Weights(const ConvTile& tile)
        : channelStride(kAnyStride ? tile.channelStride : 1), groupStride(kAnyStride ? tile.groupStride : kConvPanel) {
#pragma GCC unroll 3
      for (int i = 0; i < kPointers; ++i) pointers[i] = tile.weights + 3 * i * channelStride;
    }
    const uint32_t* at(int row) const { return kAnyStride ? pointers[row / 3] + row % 3 * channelStride : pointers[0] + row; }
    void advance() {
#pragma GCC unroll 3
      for (auto& pointer : pointers) pointer += kAnyStride ? groupStride : kConvPanel;
    }
  };

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
    prefetchOutput(rows, vectors, tile, finish);
    Weights<rows> weights(tile);
    for (int64_t group = 0; group < tile.groups; ++group, weights.advance()) {
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
        const Sum weight = Traits::weightOf(weights.at(i));
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
    finishTile<vectors>(rows, finished, tile, finish);
  }

  using Tile = void (*)(const ConvTile&, const ConvFinish&);
  template <int vectors, bool halved>
  static void runRows(int rows, const ConvTile& tile, const ConvFinish& finish) {
    // Sizes past the largest tile are never asked for.
    constexpr int kRows = Traits::kRows;
    static constexpr Tile kTiles[kConvPanel] = {
        tileOf<1, vectors, halved>,
        tileOf<2, vectors, halved>,
        tileOf < kRows < 3 ? 1 : 3,
        vectors,
        halved >,
        tileOf < kRows < 4 ? 1 : 4,
        vectors,
        halved >,
        tileOf < kRows < 5 ? 1 : 5,
        vectors,
        halved >,
        tileOf < kRows < 6 ? 1 : 6,
        vectors,
        halved >
        , tileOf < kRows < 7 ? 1 : 7, vectors, halved >, tileOf < kRows < 8 ? 1 : 8, vectors, halved >,
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
};

template <class Traits>
constexpr ConvKernel makeConvKernel(const char* name) {
  using Rows = ConvRows<Traits>;
  ConvKernel kernel{};
  kernel.name = name;
  kernel.lanes = Traits::kLanes;
  kernel.rows = Traits::kRows;
  kernel.vectors = Traits::kVectors;
  kernel.perElement = Traits::kPerElement;
  kernel.tile = ConvLoops<Traits>::run;
  kernel.place = Rows::place;
  if constexpr (Traits::kPerElement > 1) {
    kernel.encode = Rows::encode;
    kernel.join = Rows::join;
  } else {
    kernel.widen = Rows::widen;
  }
  return kernel;
}

}  // namespace
}  // namespace quanto::cpu
