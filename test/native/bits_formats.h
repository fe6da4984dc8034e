// The formats of weights of few bits, and what their codes stand for.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace bits {

using quanto::DType, quanto::toFloat;

struct Format {
  const char* name;
  DType dtype;
  int32_t bits;
};
constexpr Format kFormats[] = {{"int2", DType::uint8, 2},
                               {"int4", DType::uint8, 4},
                               {"e4m3fn", DType::float8_e4m3fn, 8},
                               {"e4m3fnuz", DType::float8_e4m3fnuz, 8},
                               {"e5m2", DType::float8_e5m2, 8}};

inline double valueOf(const Format& format, uint8_t code) {
  switch (format.dtype) {
    case DType::float8_e4m3fn:
      return toFloat<DType::float8_e4m3fn>(code);
    case DType::float8_e4m3fnuz:
      return toFloat<DType::float8_e4m3fnuz>(code);
    case DType::float8_e5m2:
      return toFloat<DType::float8_e5m2>(code);
    default:
      return code;
  }
}

}  // namespace bits
