// AVX-512 VNNI: vpdpbusd multiplies unsigned pixels (code + 128) by signed weights; the sums start with what takes the 128 off again.
#include <immintrin.h>

#include "conv_tile_body.h"

namespace quanto::cpu {
namespace {

struct Int8Traits {
  static constexpr int kLanes = 16, kPerElement = 4, kRows = 8, kVectors = 3;
  using Sum = Vectors<kLanes>::Int;
  static Sum startOf(const int32_t* start, int row) { return broadcast<Sum>(start[row]); }
  static Sum weightOf(const uint32_t* weight) { return broadcast<Sum>(static_cast<int32_t>(*weight)); }
  static Sum multiplyAdd(Sum sum, Sum weight, Sum values) { return (Sum)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)values, (__m512i)weight); }
};

}  // namespace

constinit const ConvKernel kConvInt8Vnni = makeConvKernel<Int8Traits>("vnni");

}  // namespace quanto::cpu
