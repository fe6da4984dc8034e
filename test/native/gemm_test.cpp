// The GEMM engine against exact and float64 oracles, under every instruction set of the machine.
#include "cpu/gemm/gemm.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "cpu/gemm/kernels.h"
#include "cpu/pool.h"
#include "every_isa.h"

using namespace quanto;
using namespace quanto::cpu;

namespace {

constexpr int64_t kSizes[] = {1, 7, 15, 17, 33, 50, 63, 65, 127};
constexpr DType kReals[] = {DType::float32, DType::float16, DType::bfloat16, DType::float8_e4m3fn};

check::Random random_(1);

template <DType dtype>
float rounded(float value) {
  return toFloat<dtype>(fromFloat<dtype>(value));
}

// Unit roundoff of a stored dtype.
double roundoff(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return std::ldexp(1, -11);
    case DType::bfloat16:
      return std::ldexp(1, -8);
    case DType::float8_e4m3fn:
      return std::ldexp(1, -3);
    default:
      return std::ldexp(1, -24);
  }
}

template <class Visit>
auto visitReal(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::float16:
      return visit.template operator()<DType::float16>();
    case DType::bfloat16:
      return visit.template operator()<DType::bfloat16>();
    case DType::float8_e4m3fn:
      return visit.template operator()<DType::float8_e4m3fn>();
    default:
      return visit.template operator()<DType::float32>();
  }
}

double load(const void* data, DType dtype, int64_t index) {
  return visitReal(dtype, [&]<DType d>() -> double { return toFloat<d>(static_cast<const typename StorageOf<d>::type*>(data)[index]); });
}

// How a [rows, columns] matrix lies in memory.
enum class Order { rows, columns, gaps };
struct Strides {
  int64_t row, column, size;
};
Strides stridesOf(Order order, int64_t rows, int64_t columns) {
  if (order == Order::rows) return {columns, 1, rows * columns};
  if (order == Order::columns) return {1, rows, rows * columns};
  return {3 * columns + 5, 3, rows * (3 * columns + 5)};
}

struct TestMatrix {
  std::vector<unsigned char> bytes;
  Matrix matrix;

  TestMatrix(int64_t rows, int64_t columns, DType dtype, Order order) {
    const Strides strides = stridesOf(order, rows, columns);
    bytes.resize(strides.size * sizeOf(dtype) + 1);
    matrix = {bytes.data(), dtype, strides.row, strides.column};
    visitReal(dtype, [&]<DType d>() {
      auto* values = reinterpret_cast<typename StorageOf<d>::type*>(bytes.data());
      for (int64_t i = 0; i < strides.size; ++i) values[i] = fromFloat<d>(random_.symmetric());
    });
  }
  double at(int64_t i, int64_t j) const { return load(matrix.data, matrix.dtype, i * matrix.rowStride + j * matrix.columnStride); }
};

// An output with room between and after its elements, which must stay untouched.
struct TestOutput {
  static constexpr unsigned char kUntouched = 0xab;
  int64_t rows, columns;
  Strides strides;
  DType dtype;
  std::vector<unsigned char> bytes;

  TestOutput(int64_t m, int64_t n, DType type, Order order) : rows(m), columns(n), strides(stridesOf(order, m, n)), dtype(type) {
    if (order == Order::rows) strides = {n + 3, 1, m * (n + 3)};
    bytes.assign((strides.size + 64) * sizeOf(dtype), kUntouched);
  }
  FloatOutput view(const TestMatrix* bias) {
    FloatOutput out{bytes.data(), dtype, strides.row, strides.column, nullptr, DType::float32, 0};
    if (bias) out.bias = bias->matrix.data, out.biasDtype = bias->matrix.dtype, out.biasStride = bias->matrix.columnStride;
    return out;
  }
  int64_t index(int64_t i, int64_t j) const { return i * strides.row + j * strides.column; }
  double at(int64_t i, int64_t j) const { return load(bytes.data(), dtype, index(i, j)); }
  bool gapsUntouched() const {
    std::vector<bool> owned(bytes.size());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t b = 0; b < sizeOf(dtype); ++b) owned[index(i, j) * sizeOf(dtype) + b] = true;
      }
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (!owned[i] && bytes[i] != kUntouched) return false;
    }
    return true;
  }
};

// Each sum of k products and a bias in float32, in any order, fused or not: error <= (k + 2) u sum |a b| (Higham, Accuracy and Stability
// of Numerical Algorithms, 3.1), then one rounding to the output's dtype.
// `rounding` is how far values of a may be moved, as a part of the largest in their row.
void checkAgainstFloat64(const char* what, const TestMatrix& a, const TestMatrix& b, const TestMatrix* scale, const TestMatrix* bias,
                         const TestOutput& out, int64_t k, double rounding = 0) {
  for (int64_t i = 0; i < out.rows; ++i) {
    double largest = 0;
    for (int64_t l = 0; l < k; ++l) largest = std::fmax(largest, std::fabs(a.at(i, l)));
    for (int64_t j = 0; j < out.columns; ++j) {
      double sum = 0, magnitude = 0, moved = 0;
      for (int64_t l = 0; l < k; ++l) {
        const double product = a.at(i, l) * b.at(l, j);
        sum += product;
        magnitude += std::fabs(product);
        moved += rounding * largest * std::fabs(b.at(l, j));
      }
      if (scale) sum *= scale->at(0, j), magnitude *= std::fabs(scale->at(0, j)), moved *= std::fabs(scale->at(0, j));
      if (bias) sum += bias->at(0, j), magnitude += std::fabs(bias->at(0, j));
      const double tiny = out.dtype == DType::float8_e4m3fn ? std::ldexp(1, -10) : std::ldexp(1, -25);
      const double bound = (k + 4) * std::ldexp(1, -24) * (magnitude + moved) * 1.01 + moved;
      const double expected = out.dtype == DType::float8_e4m3fn ? std::fmin(std::fmax(sum, -448), 448) : sum;
      const double allowed = bound + roundoff(out.dtype) * (std::fabs(sum) + bound) + tiny;
      if (!CHECK(std::fabs(out.at(i, j) - expected) <= allowed, "%s m=%ld n=%ld k=%ld at %ld,%ld: %.9g expected %.9g +- %.3g", what,
                 long(out.rows), long(out.columns), long(k), long(i), long(j), out.at(i, j), expected, allowed)) {
        return;
      }
    }
  }
  CHECK(out.gapsUntouched(), "%s m=%ld n=%ld k=%ld wrote outside its output", what, long(out.rows), long(out.columns), long(k));
}

void floatCase(int64_t m, int64_t n, int64_t k, DType dtypeA, DType dtypeB, DType dtypeOut, Order orderA, Order orderB, Order orderOut,
               bool withBias) {
  const TestMatrix a(m, k, dtypeA, orderA), b(k, n, dtypeB, orderB), bias(1, n, dtypeB, Order::gaps);
  TestOutput out(m, n, dtypeOut, orderOut), again = out;
  setThreadCount(1);
  CHECK(gemmFloat(m, n, k, a.matrix, b.matrix, out.view(withBias ? &bias : nullptr)) == Status::ok, "gemmFloat failed");
  checkAgainstFloat64("gemmFloat", a, b, nullptr, withBias ? &bias : nullptr, out, k);
  setThreadCount(3);
  CHECK(gemmFloat(m, n, k, a.matrix, b.matrix, again.view(withBias ? &bias : nullptr)) == Status::ok, "gemmFloat failed");
  CHECK(out.bytes == again.bytes, "gemmFloat m=%ld n=%ld k=%ld depends on the thread count", long(m), long(n), long(k));
}

struct TestWeight {
  std::vector<int8_t> codes;
  std::vector<int8_t> packed;
  int64_t n, k;
  Strides strides;

  TestWeight(int64_t rows, int64_t columns, Order order, bool extreme) : n(rows), k(columns), strides(stridesOf(order, rows, columns)) {
    codes.resize(strides.size + 1);
    for (auto& code : codes) code = extreme ? -128 : random_.code();
    packed.assign(packedInt8Bytes(n, k) + 64, 0x55);
    packInt8(n, k, codes.data(), strides.row, strides.column, packed.data());
    for (int i = 0; i < 64; ++i) CHECK(packed[packedInt8Bytes(n, k) + i] == 0x55, "packInt8 wrote past packedInt8Bytes");
    std::vector<int8_t> restored(n * k + 1, 0x55);
    unpackInt8(n, k, packed.data(), restored.data());
    bool same = restored[n * k] == 0x55;
    for (int64_t i = 0; i < n * k; ++i) same = same && restored[i] == at(i / k, i % k);
    CHECK(same, "unpackInt8 n=%ld k=%ld differs from what was packed", long(n), long(k));
  }
  int8_t at(int64_t j, int64_t l) const { return codes[j * strides.row + l * strides.column]; }
  Int8Weight view(bool usePacked) const {
    if (usePacked) return {packed.data(), 0, 0, true};
    return {codes.data(), strides.row, strides.column, false};
  }
};

void int8Case(int64_t m, int64_t n, int64_t k, Order orderA, Order orderWeight, bool packed, bool extreme) {
  const TestWeight weight(n, k, orderWeight, extreme);
  const Strides a = stridesOf(orderA, m, k);
  std::vector<int8_t> codes(a.size + 1);
  for (auto& code : codes) code = extreme ? -128 : random_.code();
  const Strides outStrides = stridesOf(orderA, m, n);
  std::vector<int32_t> out(outStrides.size);
  setThreadCount(1 + static_cast<int>(random_.bits() % 3));
  CHECK(gemmInt8(m, n, k, codes.data(), a.row, a.column, weight.view(packed), out.data(), outStrides.row, outStrides.column) == Status::ok,
        "gemmInt8 failed");

  const DType dtype = kReals[random_.bits() % 3], dtypeOut = kReals[random_.bits() % 4];
  const TestMatrix rowScale(1, m, dtype, Order::gaps), columnScale(1, n, dtype, Order::rows), bias(1, n, dtype, Order::rows);
  const bool oneScale = random_.bits() % 2, withBias = random_.bits() % 2;
  TestOutput scaled(m, n, dtypeOut, orderWeight);
  {
    const Int8Source source{codes.data(), DType::int8, a.row, a.column, {rowScale.matrix.data, dtype, oneScale ? 0 : 3}};
    const Int8Output output{scaled.view(withBias ? &bias : nullptr), dtypeOut, Activation::none, {}};
    CHECK(gemmInt8Scaled(m, n, k, source, weight.view(packed), {columnScale.matrix.data, dtype, 1}, output) == Status::ok,
          "gemmInt8Scaled failed");
    CHECK(scaled.gapsUntouched(), "gemmInt8Scaled wrote outside its output");
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += int64_t{codes[i * a.row + l * a.column]} * weight.at(j, l);
      const int32_t got = out[i * outStrides.row + j * outStrides.column];
      if (!CHECK(got == sum, "gemmInt8 m=%ld n=%ld k=%ld at %ld,%ld: %d expected %ld", long(m), long(n), long(k), long(i), long(j), got,
                 long(sum))) {
        return;
      }
      const float product = static_cast<float>(rowScale.at(0, oneScale ? 0 : i)) * static_cast<float>(columnScale.at(0, j));
      float expected = static_cast<float>(static_cast<int32_t>(sum)) * product;
      if (withBias) expected += static_cast<float>(bias.at(0, j));
      const float stored = visitReal(dtypeOut, [&]<DType d>() { return rounded<d>(expected); });
      if (!CHECK(static_cast<float>(scaled.at(i, j)) == stored, "gemmInt8Scaled m=%ld n=%ld k=%ld at %ld,%ld: %.9g expected %.9g", long(m),
                 long(n), long(k), long(i), long(j), scaled.at(i, j), stored)) {
        return;
      }
    }
  }
}

void weightOnlyCase(int64_t m, int64_t n, int64_t k, DType dtype, DType dtypeOut, Order orderA, bool packed) {
  const TestWeight weight(n, k, packed ? Order::gaps : orderA, false);
  const TestMatrix a(m, k, dtype, orderA), scale(1, n, dtype, Order::rows), bias(1, n, dtype, Order::rows);
  TestMatrix b(k, n, DType::float32, Order::rows);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t l = 0; l < k; ++l) reinterpret_cast<float*>(b.bytes.data())[l * n + j] = weight.at(j, l);
  }
  // Which path is taken depends on sizes: each kernel takes all of them by digits and by widened weights.
  Int8Kernel digits = int8Kernel(), widened = int8Kernel();
  digits.digitRows = INT64_MAX;
  widened.digits = nullptr;
  const Scales scales{scale.matrix.data, dtype, 1};
  const struct {
    const Int8Kernel& kernel;
    Precision precision;
    double rounding;
  } paths[] = {{digits, Precision::highest, 0}, {widened, Precision::highest, 0}, {digits, Precision::high, 0x1p-14}};
  for (const auto& [kernel, precision, rounding] : paths) {
    TestOutput out(m, n, dtypeOut, Order::rows), again = out;
    setThreadCount(1);
    CHECK(gemmWeightOnly(m, n, k, a.matrix, weight.view(packed), scales, out.view(&bias), precision, kernel) == Status::ok,
          "gemmWeightOnly failed");
    checkAgainstFloat64("gemmWeightOnly", a, b, &scale, &bias, out, k, rounding);
    setThreadCount(2);
    CHECK(gemmWeightOnly(m, n, k, a.matrix, weight.view(packed), scales, again.view(&bias), precision, kernel) == Status::ok,
          "gemmWeightOnly failed");
    CHECK(out.bytes == again.bytes, "gemmWeightOnly m=%ld n=%ld k=%ld depends on the thread count", long(m), long(n), long(k));
  }
}

DType anyReal() { return kReals[random_.bits() % 4]; }
Order anyOrder() { return static_cast<Order>(random_.bits() % 3); }

void sampledSizes() {
  int index = 0;
  for (const int64_t m : kSizes) {
    for (const int64_t n : kSizes) {
      for (const int64_t k : kSizes) {
        const bool odd = ++index % 2, third = index % 3 == 0;
        if (odd) floatCase(m, n, k, DType::float32, DType::float32, DType::float32, Order::rows, anyOrder(), Order::rows, third);
        else floatCase(m, n, k, anyReal(), anyReal(), anyReal(), anyOrder(), anyOrder(), anyOrder(), third);
        int8Case(m, n, k, third ? anyOrder() : Order::rows, anyOrder(), odd, false);
        if (third) weightOnlyCase(m, n, k, odd ? DType::float32 : anyReal(), odd ? DType::float32 : anyReal(), anyOrder(), index % 4 < 2);
      }
    }
  }
}

// Where blocks and panels end, and the shapes that take a path of their own.
void edges() {
  for (const int64_t k : {0, 1, 255, 256, 257, 1030}) {
    for (const int64_t m : {1, 3, 8, 9, 20}) {
      floatCase(m, 70, k, DType::float32, DType::float32, DType::float32, Order::rows, Order::columns, Order::rows, true);
      floatCase(m, 300, k, DType::float32, DType::float32, DType::float32, Order::rows, Order::rows, Order::rows, true);
      floatCase(70, m, k, DType::bfloat16, DType::float16, DType::bfloat16, Order::rows, Order::columns, Order::rows, false);
      weightOnlyCase(m, 70, k, DType::float32, DType::float32, Order::rows, true);
      weightOnlyCase(m, 33, k, DType::bfloat16, DType::bfloat16, Order::rows, false);
      int8Case(m, 70, k, Order::rows, Order::rows, true, false);
      int8Case(m, 70, k, Order::rows, Order::rows, false, true);
    }
  }
  floatCase(1040, 20, 5, DType::float32, DType::float32, DType::float32, Order::rows, Order::rows, Order::rows, true);
  floatCase(20, 2100, 5, DType::float32, DType::float32, DType::float32, Order::columns, Order::rows, Order::rows, true);
  floatCase(530, 550, 260, DType::float16, DType::bfloat16, DType::float16, Order::rows, Order::rows, Order::rows, true);
  weightOnlyCase(40, 2100, 260, DType::float32, DType::float32, Order::rows, true);
  weightOnlyCase(610, 20, 4100, DType::float32, DType::float32, Order::rows, true);
  int8Case(700, 40, 800, Order::rows, Order::rows, true, false);
  int8Case(3, 1100, 4100, Order::rows, Order::rows, false, false);
  int8Case(2, 17, 131071, Order::rows, Order::rows, true, true);
  int8Case(17, 2, 131071, Order::rows, Order::rows, false, true);
  int8Case(0, 5, 3, Order::rows, Order::rows, true, false);
  int8Case(5, 0, 3, Order::rows, Order::rows, true, false);
  floatCase(0, 5, 3, DType::float32, DType::float32, DType::float32, Order::rows, Order::rows, Order::rows, true);
  floatCase(5, 0, 3, DType::float32, DType::float32, DType::float32, Order::rows, Order::rows, Order::rows, true);
}

void weightOnlySpecials(int64_t m, Precision precision) {
  const TestWeight weight(18, 9, Order::gaps, false);
  TestMatrix a(m, 9, DType::float32, Order::rows), one(1, 18, DType::float32, Order::rows);
  auto *values = reinterpret_cast<float*>(a.bytes.data()), *scales = reinterpret_cast<float*>(one.bytes.data());
  std::fill(scales, scales + 18, 1.0f);
  for (const float special : {INFINITY, -INFINITY, NAN}) {
    values[4] = special;
    TestOutput out(m, 18, DType::float32, Order::rows);
    CHECK(gemmWeightOnly(m, 18, 9, a.matrix, weight.view(true), {scales, DType::float32, 1}, out.view(nullptr), precision) == Status::ok,
          "gemmWeightOnly failed");
    for (int64_t j = 0; j < 18; ++j) {
      const double expected = special * weight.at(j, 4), got = out.at(0, j);
      CHECK(got == expected || (std::isnan(got) && std::isnan(expected)), "%g times %d gave %g", special, weight.at(j, 4), got);
      if (m > 1) CHECK(std::isfinite(out.at(1, j)), "%g leaked into another row", special);
    }
  }
}

// One value far above the others that meets a weight of 0: what fixed point leaves of the others (gemm_digits.h).
void weightOnlyOutlier(int exponent, Precision precision, double rounding) {
  constexpr int64_t kM = 3, kN = 20, kK = 70;
  TestWeight weight(kN, kK, Order::gaps, false);
  TestMatrix a(kM, kK, DType::float32, Order::rows), one(1, kN, DType::float32, Order::rows);
  auto *values = reinterpret_cast<float*>(a.bytes.data()), *scales = reinterpret_cast<float*>(one.bytes.data());
  std::fill(scales, scales + kN, 1.0f);
  for (int64_t j = 0; j < kN; ++j) weight.codes[j * weight.strides.row + 7 * weight.strides.column] = 0;
  const double largest = std::ldexp(1.5, exponent);
  for (int64_t i = 0; i < kM; ++i) values[i * kK + 7] = static_cast<float>(largest);
  TestOutput out(kM, kN, DType::float32, Order::rows);
  CHECK(gemmWeightOnly(kM, kN, kK, a.matrix, weight.view(false), {scales, DType::float32, 1}, out.view(nullptr), precision) == Status::ok,
        "gemmWeightOnly failed");
  for (int64_t i = 0; i < kM; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      double sum = 0, magnitudes = 0, weights = 0;
      for (int64_t l = 0; l < kK; ++l) {
        const double product = double{values[i * kK + l]} * weight.at(j, l);
        sum += product, magnitudes += std::fabs(product), weights += std::fabs(weight.at(j, l));
      }
      const double allowed = magnitudes * (kK + 4) * 0x1p-24 + weights * largest * rounding;
      CHECK(std::fabs(out.at(i, j) - sum) <= allowed, "outlier 2^%d at %ld,%ld: %.9g expected %.9g", exponent, long(i), long(j),
            out.at(i, j), sum);
    }
  }
}

// Rows of any magnitude, one value of which is far above the others.
void weightOnlyRange(int exponent, Precision precision, double rounding) {
  constexpr int64_t kM = 5, kN = 20, kK = 70;
  const TestWeight weight(kN, kK, Order::gaps, false);
  TestMatrix a(kM, kK, DType::float32, Order::rows), one(1, kN, DType::float32, Order::rows);
  auto *values = reinterpret_cast<float*>(a.bytes.data()), *scales = reinterpret_cast<float*>(one.bytes.data());
  std::fill(scales, scales + kN, 1.0f);
  for (int64_t i = 0; i < kM * kK; ++i) values[i] = std::ldexp(values[i], exponent);
  for (int64_t i = 0; i < kM; ++i) values[i * kK + 3 * i] *= 1000;
  TestOutput out(kM, kN, DType::float32, Order::rows);
  CHECK(gemmWeightOnly(kM, kN, kK, a.matrix, weight.view(true), {scales, DType::float32, 1}, out.view(nullptr), precision) == Status::ok,
        "gemmWeightOnly failed");
  for (int64_t i = 0; i < kM; ++i) {
    double largest = 0;
    for (int64_t l = 0; l < kK; ++l) largest = std::fmax(largest, std::fabs(values[i * kK + l]));
    for (int64_t j = 0; j < kN; ++j) {
      double sum = 0, magnitudes = 0, weights = 0;
      for (int64_t l = 0; l < kK; ++l) {
        const double product = double{values[i * kK + l]} * weight.at(j, l);
        sum += product, magnitudes += std::fabs(product), weights += std::fabs(weight.at(j, l));
      }
      const double allowed = magnitudes * (kK + 4) * 0x1p-24 + kK * 0x1p-149 + weights * largest * rounding;
      CHECK(std::fabs(out.at(i, j) - sum) <= allowed, "exponent %d at %ld,%ld: %.9g expected %.9g", exponent, long(i), long(j),
            out.at(i, j), sum);
    }
  }
}

// Of one value and a weight of 1 the result is the value as it was rounded: to the nearest multiple of its unit, half to even.
void roundedValues() {
  if (!int8Kernel().digits) return;
  constexpr int64_t kM = 200;
  const int8_t one = 1;
  const float scale = 1;
  std::vector<float> values, out(kM);
  for (int64_t i = 0; i < kM; ++i) values.push_back(1 + static_cast<float>(i) * 0x1p-15f);  // by a quarter of the unit
  CHECK(gemmWeightOnly(kM, 1, 1, {values.data(), DType::float32, 1, 1}, {&one, 1, 1, false}, {&scale, DType::float32, 0},
                       {out.data(), DType::float32, 1, 1, nullptr, DType::float32, 0}, Precision::high) == Status::ok,
        "gemmWeightOnly failed");
  for (int64_t i = 0; i < kM; ++i) {
    const double expected = std::nearbyint(values[i] * 0x1p13) * 0x1p-13;
    CHECK(out[i] == expected, "%.9g became %.9g, not %.9g", values[i], out[i], expected);
  }
}

// Infinities and NaN come through, and padding adds none of its own.
void specials() {
  for (const int64_t m : {1, 20}) {
    TestMatrix a(m, 9, DType::float32, Order::rows), b(9, 18, DType::float32, Order::rows);
    reinterpret_cast<float*>(a.bytes.data())[4] = INFINITY;
    TestOutput out(m, 18, DType::float32, Order::rows);
    CHECK(gemmFloat(m, 18, 9, a.matrix, b.matrix, out.view(nullptr)) == Status::ok, "gemmFloat failed");
    for (int64_t j = 0; j < 18; ++j) {
      const double expected = b.at(4, j) > 0 ? INFINITY : -INFINITY;
      CHECK(out.at(0, j) == expected, "infinity times %g gave %g", b.at(4, j), out.at(0, j));
      if (m > 1) CHECK(std::isfinite(out.at(1, j)), "an infinity leaked into another row");
    }
    for (const Precision precision : {Precision::highest, Precision::high, Precision::medium}) weightOnlySpecials(m, precision);
  }
  for (const int exponent : {-140, -120, -108, -107, -106, -98, -97, -91, -60, 0, 60, 110}) {
    weightOnlyRange(exponent, Precision::highest, 0);
    weightOnlyRange(exponent, Precision::high, 0x1p-14);
  }
  for (const int exponent : {4, 10, 20, 40}) {
    weightOnlyOutlier(exponent, Precision::highest, 0x1p-30);
    weightOnlyOutlier(exponent, Precision::high, 0x1p-14);
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  sampledSizes();
  edges();
  specials();
  roundedValues();
  char name[100];
  std::snprintf(name, sizeof name, "gemm_test (%s)", gemmDescription());
  return check::report(name);
}
