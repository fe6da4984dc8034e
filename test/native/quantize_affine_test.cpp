// Affine quantization and the packing of codes by rows, with strides, narrow dtypes and sizes that do not fit.
#include <cmath>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"
#include "dtype.h"
#include "every_isa.h"

using namespace quanto;

namespace {

check::Random random_(1);

// A view of [rows, columns] on memory with its own strides.
View view(void* data, DType dtype, int64_t rows, int64_t columns, int64_t rowStride, int64_t columnStride) {
  return {data, static_cast<int32_t>(dtype), 2, Layout::strided, {rows, columns}, {rowStride, columnStride}};
}

template <DType dtype>
float rounded(float value) {
  return toFloat<dtype>(fromFloat<dtype>(value));
}

// What the original computes, each step rounded to the dtype.
template <DType dtype>
uint8_t expectedCode(float x, float scale, float shift, bool realShift, int bits) {
  const float added = realShift ? rounded<dtype>(x + shift) : x;
  float code = std::nearbyint(rounded<dtype>(added / scale));
  if (!(code == code)) code = 0;
  if (!realShift) code += shift;
  return static_cast<uint8_t>(std::fmin(std::fmax(code, 0.0f), static_cast<float>((1 << bits) - 1)));
}

template <DType dtype>
void testAffine(int64_t rows, int64_t columns, bool transposed, bool realShift, int bits) {
  using Stored = typename StorageOf<dtype>::type;
  std::vector<Stored> src(rows * columns), scale(rows), shift(rows), values(rows * columns + 1);
  std::vector<uint8_t> zero(rows), codes(rows * columns + 1, 0xab);
  for (auto& value : src) value = fromFloat<dtype>(random_.symmetric());
  for (int64_t i = 0; i < rows; ++i) {
    // The last row is constant: its scale is 0.
    const bool constant = i == rows - 1 && rows > 1;
    scale[i] = fromFloat<dtype>(constant ? 0.0f : 0.05f + std::fabs(random_.symmetric()) / 4);
    zero[i] = static_cast<uint8_t>(random_.bits() % (1 << bits));
    shift[i] = fromFloat<dtype>(random_.symmetric());
    if (!constant) continue;
    for (int64_t j = 0; j < columns; ++j) src[transposed ? j * rows + i : i * columns + j] = fromFloat<dtype>(realShift ? 0.5f : 0.0f);
    shift[i] = fromFloat<dtype>(-0.5f);
  }
  const View in = view(src.data(), dtype, rows, columns, transposed ? 1 : columns, transposed ? rows : 1);
  const View scales = view(scale.data(), dtype, rows, columns, 1, 0);
  const View shifts = realShift ? view(shift.data(), dtype, rows, columns, 1, 0) : view(zero.data(), DType::uint8, rows, columns, 1, 0);
  const View out = view(codes.data(), DType::uint8, rows, columns, columns, 1);
  CHECK(cpu::quantizeAffine(nullptr, &in, &scales, &shifts, &out, bits) == Status::ok, "quantizeAffine failed");
  const View back = view(values.data(), dtype, rows, columns, columns, 1);
  CHECK(cpu::dequantizeAffine(nullptr, &out, &scales, &shifts, &back) == Status::ok, "dequantizeAffine failed");
  CHECK(codes.back() == 0xab, "wrote past the codes");
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const float x = toFloat<dtype>(src[transposed ? j * rows + i : i * columns + j]), s = toFloat<dtype>(scale[i]);
      const float z = realShift ? toFloat<dtype>(shift[i]) : zero[i];
      const uint8_t expected = expectedCode<dtype>(x, s, z, realShift, bits), code = codes[i * columns + j];
      CHECK(code == expected, "%s: code of %g with scale %g, shift %g is %d, not %d", info(dtype).name, static_cast<double>(x),
            static_cast<double>(s), static_cast<double>(z), code, expected);
      const float value = realShift ? rounded<dtype>(rounded<dtype>(s * code) - z) : rounded<dtype>(s * (code - z));
      CHECK(toFloat<dtype>(values[i * columns + j]) == value, "%s: value of code %d", info(dtype).name, code);
    }
  }
}

void testPacking(int64_t rows, int64_t rowSize, int bits) {
  const int64_t together = 8 / bits, packedRows = (rows + together - 1) / together;
  std::vector<uint8_t> codes(rows * rowSize), packed(packedRows * rowSize + 1, 0xab), back(rows * rowSize + 1, 0xab);
  for (auto& code : codes) code = static_cast<uint8_t>(random_.bits() % (1 << bits));
  const View in = view(codes.data(), DType::uint8, rows, rowSize, rowSize, 1);
  const View out = view(packed.data(), DType::uint8, packedRows, rowSize, rowSize, 1);
  const View again = view(back.data(), DType::uint8, rows, rowSize, rowSize, 1);
  CHECK(cpu::packBits(nullptr, &in, &out, bits) == Status::ok, "packBits failed");
  CHECK(cpu::unpackBits(nullptr, &out, &again, bits) == Status::ok, "unpackBits failed");
  CHECK(packed.back() == 0xab && back.back() == 0xab, "wrote past its end");
  for (int64_t row = 0; row < packedRows; ++row) {
    for (int64_t i = 0; i < rowSize; ++i) {
      int expected = 0;
      for (int64_t part = 0; part < together && part * packedRows + row < rows; ++part)
        expected |= codes[(part * packedRows + row) * rowSize + i] << (bits * part);
      CHECK(packed[row * rowSize + i] == expected, "%d bits, %d rows: byte is %d, not %d", bits, static_cast<int>(rows),
            packed[row * rowSize + i], expected);
    }
  }
  for (size_t i = 0; i < codes.size(); ++i) CHECK(back[i] == codes[i], "code %d is %d, not %d", static_cast<int>(i), back[i], codes[i]);
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  constexpr int64_t kSizes[] = {0, 1, 7, 15, 17, 33, 50, 63, 65, 127, 600};
  for (const int64_t rows : kSizes) {
    for (const int64_t columns : kSizes) {
      for (const int bits : {2, 4}) {
        if (rows > 0) testPacking(rows, columns, bits);
        for (int variant = 0; variant < 4; ++variant) {
          testAffine<DType::float32>(rows, columns, variant & 1, variant & 2, bits);
          if (rows > 65 || columns > 65) continue;
          testAffine<DType::float16>(rows, columns, variant & 1, variant & 2, bits);
          testAffine<DType::bfloat16>(rows, columns, variant & 1, variant & 2, bits);
        }
      }
    }
  }
  return check::report("quantize_affine_test");
}
