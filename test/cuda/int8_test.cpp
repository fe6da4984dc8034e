// Slots that scale exact sums, or quantize what they make, on the emulated device: the bits of the steps one by one.
#include <cstdlib>

#include "../../cuda/emulator/runtime.h"
#include "on_device.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(12);

void normCase(DType dtype, const Shape& shape, bool affine, bool centered, double scaleValue) {
  const double eps = 1e-5;
  Tensor src(dtype, shape), weight(dtype, {shape[1]}), bias(dtype, {shape[1]}), scale(dtype, {1});
  Tensor codes(DType::int8, shape), expected(DType::int8, shape);
  for (Tensor* each : {&src, &weight, &bias}) each->randomize(random_, 3);
  scale.set(0, scaleValue);
  const OnDevice x(src), w(weight), b(bias), s(scale), values(src), wanted(expected), got(codes);
  const View *factor = affine ? static_cast<const View*>(w) : nullptr, *term = affine ? static_cast<const View*>(b) : nullptr;
  View everywhere = *static_cast<const View*>(values);
  everywhere.data = static_cast<const View*>(s)->data;
  everywhere.strides[0] = everywhere.strides[1] = 0;
  const Backend& cuda = device();
  CHECK((centered ? cuda.layerNorm(queue, x, factor, term, values, nullptr, nullptr, eps)
                  : cuda.rmsNorm(queue, x, factor, values, nullptr, eps)) == Status::ok,
        "norm failed");
  CHECK(cuda.quantize(queue, values, &everywhere, wanted) == Status::ok, "quantize failed");
  CHECK(
      (centered ? cuda.layerNormInt8(queue, x, factor, term, s, got, eps) : cuda.rmsNormInt8(queue, x, factor, s, got, eps)) == Status::ok,
      "norm to int8 failed");
  wanted.read(expected);
  got.read(codes);
  checkEach("norm to int8", codes, 0, [&](int64_t i) { return expected[i]; });
}

void testNorms() {
  for (const DType dtype : kFloats) {
    for (const Shape& shape : {Shape{1, 1}, Shape{7, 15}, Shape{2, 17}, Shape{0, 4}, Shape{3, 33}, Shape{2, 127}, Shape{3, 1030}}) {
      for (const bool affine : {false, true}) {
        for (const bool centered : {false, true}) {
          // With the third scale some saturate, and with 0 all are 0.
          for (const double scale : {0.021, 0.5, 0.001, 0.0}) normCase(dtype, shape, affine, centered, scale);
        }
      }
    }
  }
}

// b as the columns of a matrix, or as the rows of one, which is what the library takes.
void productCase(DType dtype, int64_t batch, int64_t m, int64_t n, int64_t k, bool rows, bool shared) {
  Tensor a(DType::int8, {batch, m, k}), b(DType::int8, {shared ? 1 : batch, rows ? n : k, rows ? k : n}), out(dtype, {batch, m, n});
  Tensor scale(DType::float32, {1}), expected(dtype, {batch, m, n});
  for (Tensor* each : {&a, &b}) each->fill([](int64_t) { return random_.code(); });
  const float factor = 0.0123f;
  scale.set(0, factor);
  const OnDevice left(a), right(b), s(scale), target(out);
  View columns = *static_cast<const View*>(right);
  if (rows) {
    std::swap(columns.shape[1], columns.shape[2]);
    std::swap(columns.strides[1], columns.strides[2]);
  }
  columns.shape[0] = batch;
  if (shared) columns.strides[0] = 0;
  CHECK(device().intMatmulScaled(queue, left, &columns, s, target) == Status::ok, "intMatmulScaled failed");
  target.read(out);
  const std::vector<double> x = a.values(), y = b.values();
  expected.fill([&](int64_t i) {
    const int64_t item = i / (m * n), row = i / n, column = i % n;
    int64_t sum = 0;
    for (int64_t l = 0; l < k; ++l) {
      const int64_t at = (shared ? 0 : item) * n * k + (rows ? column * k + l : l * n + column);
      sum += static_cast<int64_t>(x[row * k + l]) * static_cast<int64_t>(y[at]);
    }
    return static_cast<float>(sum) * factor;
  });
  checkEach("intMatmulScaled", out, 0, [&](int64_t i) { return expected[i]; });
  CHECK(out.bytes() == expected.bytes(), "intMatmulScaled (%s) of %ld x %ld x %ld x %ld: other bits", info(dtype).name, long(batch),
        long(m), long(n), long(k));
}

void testProducts() {
  const int64_t sizes[][4] = {{1, 1, 1, 1},    {3, 7, 15, 17}, {2, 33, 50, 63}, {2, 65, 16, 128}, {1, 127, 4, 4},
                              {3, 16, 32, 64}, {2, 1, 64, 32}, {2, 5, 3, 0},    {0, 4, 4, 4},     {2, 0, 4, 4}};
  for (const DType dtype : kFloats) {
    for (const auto& [batch, m, n, k] : sizes) {
      for (const bool rows : {false, true}) {
        for (const bool shared : {false, true}) productCase(dtype, batch, m, n, k, rows, shared);
      }
    }
  }
  // More sums than are in scratch memory at a time.
  productCase(DType::bfloat16, 1030, 64, 64, 4, true, false);
}

}  // namespace

int main() {
  unsetenv("QUANTO_VISIBLE_DEVICES");
  queue = device().openQueue(0);
  testNorms();
  testProducts();
  CHECK(emulator::takeComplaints() == nullptr, "the slots misuse nothing");
  device().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "%zu bytes are left", emulator::liveDeviceBytes());
  return check::report("int8");
}
