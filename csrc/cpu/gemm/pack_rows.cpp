#include "pack_rows.h"

#include <cstring>

#include "pack_int8.h"

namespace quanto::cpu {
namespace {

template <class Element, int shift>
void packRows(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out) {
  const int64_t whole = k / kGroup;
  for (int i = 0; i < rows; ++i) {
    const int8_t* row = in + i * rowStride;
    Element* packed = static_cast<Element*>(out) + i * kGroup;
    const auto put = [&](int64_t group, int64_t count) {
      Element values[kGroup] = {};
      for (int64_t l = 0; l < count; ++l) values[l] = static_cast<Element>(row[(group * kGroup + l) * columnStride] + shift);
      std::memcpy(packed + group * rows * kGroup, values, sizeof values);
    };
    for (int64_t group = 0; group < whole; ++group) put(group, kGroup);
    if (whole * kGroup < k) put(whole, k - whole * kGroup);
  }
}

}  // namespace

void packRowsSigned8(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out) {
  packRows<int8_t, 0>(rows, k, in, rowStride, columnStride, out);
}

void packRowsUnsigned8(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out) {
  packRows<uint8_t, 128>(rows, k, in, rowStride, columnStride, out);
}

void packRowsSigned16(int rows, int64_t k, const int8_t* in, int64_t rowStride, int64_t columnStride, void* out) {
  packRows<int16_t, 0>(rows, k, in, rowStride, columnStride, out);
}

}  // namespace quanto::cpu
