// Products with weights of 2 and 4 bits and of float8 on the emulated device, against float64 oracles; and which slots are empty there.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../../csrc/dtype.h"
#include "../../cuda/backend.h"
#include "../../cuda/emulator/emulator.h"
#include "../native/bits_formats.h"
#include "../native/check.h"

using namespace quanto;
using bits::Format, bits::kFormats, bits::valueOf;

extern "C" const Backend* quantoOpenBackend();

namespace {

const Backend& backend() { return *quantoOpenBackend(); }
check::Random random_(11);
Queue* queue;

// Bytes on the device, freed at the end.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes), data_(backend().allocate(0, bytes > 0 ? bytes : 1)) {}
  template <class T>
  explicit Memory(const std::vector<T>& from) : Memory(from.size() * sizeof(T)) {
    if (bytes_ > 0) CHECK(backend().copyFromHost(queue, data_, from.data(), bytes_) == Status::ok, "copyFromHost");
  }
  ~Memory() { backend().release(0, data_, bytes_); }
  Memory(const Memory&) = delete;
  void* data() const { return data_; }
  template <class T>
  std::vector<T> read() const {
    std::vector<T> out(bytes_ / sizeof(T));
    if (bytes_ > 0) CHECK(backend().copyToHost(queue, out.data(), data_, bytes_) == Status::ok, "copyToHost");
    return out;
  }

 private:
  size_t bytes_;
  void* data_;
};

View matrix(void* data, DType dtype, int64_t rows, int64_t columns, int64_t rowStride, int64_t columnStride = 1) {
  View view{};
  view.data = data;
  view.dtype = static_cast<int32_t>(dtype);
  view.ndim = 2;
  view.shape[0] = rows;
  view.shape[1] = columns;
  view.strides[0] = rowStride;
  view.strides[1] = columnStride;
  return view;
}
View vectorOf(void* data, int64_t size) {
  View view = matrix(data, DType::float32, size, 1, 1);
  view.ndim = 1;
  return view;
}

struct Shape {
  int64_t m, n, k, groupSize;
};

// A weight with its codes as files have them, and packed on the device.
struct TestWeight {
  Format format;
  int64_t n, k, groupSize, groups;
  std::vector<uint8_t> codes, file;
  std::vector<float> scale, shift;

  TestWeight(const Format& of, const Shape& shape)
      : format(of),
        n(shape.n),
        k(shape.k),
        groupSize(shape.groupSize),
        groups(shape.k / shape.groupSize),
        codes(n * k),
        scale(n * groups),
        shift(n * groups) {
    for (auto& code : codes) {
      do code = static_cast<uint8_t>(random_.bits() >> 9);
      while (format.bits == 8 && !(std::fabs(valueOf(format, code)) < 1e30));
      if (format.bits < 8) code &= (1 << format.bits) - 1;
    }
    for (auto& value : scale) value = 0.5f + std::fabs(random_.symmetric());
    for (auto& value : shift) value = 4 * random_.symmetric();
    file = codes;
    if (format.bits == 8) return;
    const int64_t together = 8 / format.bits, all = n * groups, packedRows = (all + together - 1) / together;
    file.assign(packedRows * groupSize, 0);
    for (int64_t row = 0; row < all; ++row) {
      for (int64_t l = 0; l < groupSize; ++l)
        file[row % packedRows * groupSize + l] |= static_cast<uint8_t>(codes[row * groupSize + l] << (row / packedRows * format.bits));
    }
  }

  bool shifted() const { return format.bits < 8; }
  double at(int64_t j, int64_t l) const {
    const int64_t group = j * groups + l / groupSize;
    return scale[group] * valueOf(format, codes[j * k + l]) - (shifted() ? shift[group] : 0);
  }
};

std::string nameOf(const Format& format, const Shape& s) {
  return std::string(format.name) + " " + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k) + " in groups of " +
         std::to_string(s.groupSize);
}

// Largest error relative to what the terms of each sum add up to, in steps of float32.
struct Worst {
  double steps = 0;
  void take(double got, double wanted, double magnitude) {
    const double error = std::fabs(got - wanted) / (magnitude * 0x1p-24 + 1e-30);
    if (!(error <= steps)) steps = error;
  }
};

void testProduct(const Format& format, const Shape& shape, int64_t columnStride) {
  const auto [m, n, k, groupSize] = shape;
  const TestWeight weight(format, shape);
  const std::string name = nameOf(format, shape);
  std::vector<float> x(m * k * columnStride), bias(n);
  std::vector<int8_t> codes(m * k * columnStride);
  for (auto& value : x) value = random_.symmetric();
  for (auto& code : codes) code = random_.code();
  for (auto& value : bias) value = random_.symmetric();
  const Memory file(weight.file), packed(backend().packedBitsBytes(n, k, static_cast<int32_t>(format.dtype), format.bits, groupSize));
  const Memory back(weight.file.size()), scale(weight.scale), shift(weight.shift), left(x), biases(bias), out(m * n * sizeof(float));
  View packedView = matrix(packed.data(), format.dtype, n, k, k);
  packedView.layout = Layout::packed;
  const auto fileColumns = format.bits == 8 ? k : groupSize;
  const auto fileRows = static_cast<int64_t>(weight.file.size()) / fileColumns;
  const View fileView = matrix(file.data(), format.dtype, fileRows, fileColumns, fileColumns);
  const View backView = matrix(back.data(), format.dtype, fileRows, fileColumns, fileColumns);
  CHECK(backend().packWeightBits(queue, &fileView, &packedView, format.bits, groupSize) == Status::ok, "packWeightBits");
  CHECK(backend().unpackWeightBits(queue, &packedView, &backView, format.bits, groupSize) == Status::ok, "unpackWeightBits");
  CHECK(back.read<uint8_t>() == weight.file, "%s: not unpacked as it was", name.c_str());

  const View src = matrix(left.data(), DType::float32, m, k, k * columnStride, columnStride);
  const View scaleView = matrix(scale.data(), DType::float32, n, weight.groups, weight.groups);
  const View shiftView = matrix(shift.data(), DType::float32, n, weight.groups, weight.groups);
  const View biasView = vectorOf(biases.data(), n), target = matrix(out.data(), DType::float32, m, n, n);
  CHECK(backend().linearBits(queue, &src, &packedView, &scaleView, weight.shifted() ? &shiftView : nullptr, &biasView, &target, format.bits,
                             groupSize, 0) == Status::ok,
        "linearBits");
  const auto got = out.read<float>();
  Worst worst;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = bias[j], magnitude = std::fabs(sum);
      for (int64_t l = 0; l < k; ++l) {
        const double term = x[(i * k + l) * columnStride] * weight.at(j, l);
        sum += term;
        magnitude += std::fabs(term);
      }
      worst.take(got[i * n + j], sum, magnitude);
    }
  }
  // Each term is rounded twice, and lies in partial sums that are rounded as often as there are terms; that all of it goes one way is
  // not seen.
  CHECK(worst.steps < 4 + std::sqrt(static_cast<double>(k)), "%s: off by %g steps", name.c_str(), worst.steps);
  if (format.bits == 8) return;

  const std::vector<float> rowScale = [m = m] {
    std::vector<float> values(m);
    for (auto& value : values) value = 0.01f + std::fabs(random_.symmetric());
    return values;
  }();
  const Memory codeMemory(codes), rowScales(rowScale);
  const View codeView = matrix(codeMemory.data(), DType::int8, m, k, k * columnStride, columnStride);
  for (const bool each : {true, false}) {
    const View srcScale = vectorOf(rowScales.data(), each ? m : 1);
    CHECK(backend().linearBitsInt8(queue, &codeView, &srcScale, &packedView, &scaleView, &shiftView, &biasView, &target, format.bits,
                                   groupSize) == Status::ok,
          "linearBitsInt8");
    const auto integers = out.read<float>();
    Worst ofIntegers;
    for (int64_t i = 0; i < m; ++i) {
      const float s = rowScale[each ? i : 0];
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l) sum += codes[(i * k + l) * columnStride] * weight.at(j, l);
        ofIntegers.take(integers[i * n + j], s * sum + bias[j], std::fabs(s * sum) + std::fabs(bias[j]));
      }
    }
    // The sum, its product with the scale and its sum with the bias are rounded, and nothing before.
    CHECK(ofIntegers.steps <= 3, "%s with int8 inputs: off by %g steps", name.c_str(), ofIntegers.steps);
  }

  // Floats become the codes of the separate slot, with a scale for all or for each row.
  std::vector<float> scales(m, 0.007f);
  for (const bool dynamic : {false, true}) {
    for (int64_t i = 0; i < m; ++i) {
      float largest = 0;
      for (int64_t l = 0; l < k; ++l) largest = std::fmax(largest, std::fabs(x[(i * k + l) * columnStride]));
      if (dynamic) scales[i] = largest / 127;
      for (int64_t l = 0; l < k; ++l) {
        const float quotient = scales[i] == 0 ? 0 : x[(i * k + l) * columnStride] / scales[i];
        codes[(i * k + l) * columnStride] = static_cast<int8_t>(std::nearbyint(std::fmin(127.0f, std::fmax(-128.0f, quotient))));
      }
    }
    const Memory newCodes(codes), newScales(scales), together(m * n * sizeof(float));
    const View codesOfRows = matrix(newCodes.data(), DType::int8, m, k, k * columnStride, columnStride);
    const View srcScale = vectorOf(newScales.data(), dynamic ? m : 1), fused = matrix(together.data(), DType::float32, m, n, n);
    CHECK(backend().linearBitsInt8(queue, &codesOfRows, &srcScale, &packedView, &scaleView, &shiftView, &biasView, &target, format.bits,
                                   groupSize) == Status::ok &&
              backend().linearBitsInt8(queue, &src, dynamic ? nullptr : &srcScale, &packedView, &scaleView, &shiftView, &biasView, &fused,
                                       format.bits, groupSize) == Status::ok,
          "linearBitsInt8 of floats");
    CHECK(together.read<float>() == out.read<float>(), "%s with %s floats: not what their codes give", name.c_str(),
          dynamic ? "dynamic" : "static");
  }
}

void testProducts() {
  const Shape shapes[] = {{1, 1, 1, 1},     {1, 7, 15, 15},     {3, 33, 15, 5},   {2, 4, 64, 32},    {8, 9, 96, 24},   {9, 16, 130, 26},
                          {1, 5, 528, 132}, {5, 3, 1056, 1056}, {1, 3, 4160, 32}, {17, 20, 128, 64}, {65, 70, 48, 16}, {4, 2, 2052, 4}};
  for (const Format& format : kFormats) {
    for (const Shape& shape : shapes) {
      for (const int64_t columnStride : {1, 2}) testProduct(format, shape, columnStride);
    }
  }
  CHECK(emulator::takeComplaints() == nullptr, "the products misuse nothing");
}

// Kernels that are not written are here by name, so that one whose signature changed is missed.
void testSlots() {
  std::string empty;
#define KERNEL(name, parameters) \
  if (!backend().name) empty += #name " ";
#include "../../csrc/kernels.def"
#undef KERNEL
  CHECK(empty.empty(), "these slots are empty: %s", empty.c_str());
}

}  // namespace

int main() {
  unsetenv("QUANTO_VISIBLE_DEVICES");
  queue = backend().openQueue(0);
  testSlots();
  testProducts();
  backend().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "%zu bytes are left", emulator::liveDeviceBytes());
  return check::report("linear_bits");
}
