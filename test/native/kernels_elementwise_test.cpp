// Creation, random, copy, unary, binary and where against scalar float64 or int64 references.
#include <functional>

#include "cpu/elementwise.h"
#include "every_isa.h"
#include "philox.h"
#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(2);

const Shape kShapes[] = {{}, {1}, {0}, {7}, {3, 0, 2}, {3, 5}, {2, 1, 33}, {2, 3, 4, 5}, {1, 600}, {90, 1000}};

// What each row of unary.def means, in float64.
const std::function<double(double, double, double)> kUnary[] = {
    [](double x, double, double) { return -x; },
    [](double x, double, double) { return std::fabs(x); },
    [](double x, double, double) { return double((x > 0) - (x < 0)); },
    [](double x, double, double) { return x * x; },
    [](double x, double, double) { return x != x ? x : std::fmax(x, 0); },
    [](double x, double a, double b) { return x != x ? x : std::fmin(std::fmax(x, a), b); },
    [](double x, double, double) { return std::nearbyint(x); },
    [](double x, double, double) { return std::floor(x); },
    [](double x, double, double) { return std::ceil(x); },
    [](double x, double, double) { return 1 / x; },
    [](double x, double, double) { return std::exp(x); },
    [](double x, double, double) { return std::log(x); },
    [](double x, double, double) { return std::sqrt(x); },
    [](double x, double, double) { return 1 / std::sqrt(x); },
    [](double x, double, double) { return std::sin(x); },
    [](double x, double, double) { return std::cos(x); },
    [](double x, double, double) { return std::tanh(x); },
    [](double x, double, double) { return std::erf(x); },
    [](double x, double, double) { return 1 / (1 + std::exp(-x)); },
    [](double x, double, double) { return x / (1 + std::exp(-x)); },
    [](double x, double, double) { return 0.5 * x * std::erfc(-x * M_SQRT1_2); },
    [](double x, double, double) { return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); },
    [](double x, double, double) { return 0.5 * std::erfc(-x * M_SQRT1_2) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); },
    [](double x, double, double) {
      const double c = 2 * std::sqrt(2 / M_PI), s = 1 / (1 + std::exp(-c * (x + 0.044715 * x * x * x)));
      return s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x);
    },
    [](double x, double, double) {
      const double s = 1 / (1 + std::exp(-x));
      return s * (1 + x * (1 - s));
    },
    [](double x, double, double) { return double(x != x); },
    [](double x, double, double) { return double(std::isfinite(x)); },
    [](double x, double, double) { return double(x == 0); },
};
static_assert(sizeof(kUnary) / sizeof(kUnary[0]) == cpu::kUnaryCount);

constexpr const char* kUnaryNames[] = {
#define UNARY(name, ...) #name,
#include "unary.def"
#undef UNARY
};
constexpr const char* kBinaryNames[] = {
#define BINARY(name, ...) #name,
#include "binary.def"
#undef BINARY
};

const std::function<double(double, double)> kBinary[] = {
    [](double x, double y) { return x + y; },
    [](double x, double y) { return x - y; },
    [](double x, double y) { return x * y; },
    [](double x, double y) { return x / y; },
    [](double x, double y) { return std::pow(x, y); },
    [](double x, double y) { return x != x || y != y ? kNaN : std::fmax(x, y); },
    [](double x, double y) { return x != x || y != y ? kNaN : std::fmin(x, y); },
    [](double x, double y) { return double(x == y); },
    [](double x, double y) { return double(x != y); },
    [](double x, double y) { return double(x < y); },
    [](double x, double y) { return double(x <= y); },
    [](double x, double y) { return double(x > y); },
    [](double x, double y) { return double(x >= y); },
    [](double x, double y) { return double(x != 0 && y != 0); },
    [](double x, double y) { return double(x != 0 || y != 0); },
    [](double x, double y) { return double((x != 0) != (y != 0)); },
};
static_assert(sizeof(kBinary) / sizeof(kBinary[0]) == cpu::kBinaryCount);

DType resultDType(cpu::Result result, DType dtype) {
  if (result == cpu::Result::boolean) return DType::boolean;
  return result == cpu::Result::real && !isReal(dtype) ? DType::float32 : dtype;
}

// Integers wrap where the result does not fit.
double wrapped(double value, DType dtype) {
  if (dtype == DType::int8) return static_cast<int8_t>(static_cast<int64_t>(value));
  if (dtype == DType::uint8) return static_cast<uint8_t>(static_cast<int64_t>(value));
  if (dtype == DType::boolean) return value != 0;
  return value;
}

double saturated(double value, DType dtype) {
  const double largest = dtype == DType::float8_e4m3fn ? 448 : dtype == DType::float8_e4m3fnuz ? 240 : 57344;
  const bool float8 = isReal(dtype) && sizeOf(dtype) == 1;
  return float8 && std::fabs(value) > largest ? std::copysign(largest, value) : value;
}

// Real results may cancel: their error is relative to the operands.
double tolerance(UnaryOp op) { return op == UnaryOp::geluGrad || op == UnaryOp::geluTanhGrad || op == UnaryOp::siluGrad ? 8 : 3; }

void unaryCase(int op, DType dtype, const Shape& shape, Order order) {
  Tensor src(dtype, shape, order);
  src.randomize(random_, 4);
  Tensor out(resultDType(cpu::kUnaryResults[op], dtype), shape, order == Order::strided ? order : Order::dense);
  onThreads(kUnaryNames[op], out, [&](Tensor& target) { return cpu::unary(nullptr, op, src, target, -1.5, 2); });
  const bool integers = !isReal(dtype) && cpu::kUnaryResults[op] != cpu::Result::real;
  checkEach(
      kUnaryNames[op], out, tolerance(static_cast<UnaryOp>(op)),
      [&](int64_t i) {
        const double value = integers ? kUnary[op](src[i], -1, 2) : kUnary[op](src[i], -1.5, 2);
        return saturated(wrapped(value, out.dtype()), out.dtype());
      },
      0.5);
}

void testUnary() {
  for (int op = 0; op < cpu::kUnaryCount; ++op) {
    for (DType dtype : kAll) {
      for (const Shape& shape : kShapes) {
        for (Order order : kOrders) {
          if (shape.size() < 2 || dtype == DType::float32 || shape[0] < 90) unaryCase(op, dtype, shape, order);
        }
      }
    }
  }
  // Special values.
  const double special[] = {kNaN, kInfinity, -kInfinity, 0, -0.0, 0.5, 1.5, 2.5, -0.5, -2.5, 1e-30, -1e30, 88.7, -103, 3e38, 20, -20};
  Tensor src(DType::float32, {std::size(special)});
  src.fill([&](int64_t i) { return special[i]; });
  for (int op = 0; op < cpu::kUnaryCount; ++op) {
    const auto kind = static_cast<UnaryOp>(op);
    // x * x overflows inside the gradients; infinities times zero are not numbers there.
    if (kind == UnaryOp::geluGrad || kind == UnaryOp::geluTanhGrad || kind == UnaryOp::siluGrad) continue;
    if (kind == UnaryOp::sin || kind == UnaryOp::cos || kind == UnaryOp::geluTanh || kind == UnaryOp::gelu || kind == UnaryOp::silu)
      continue;
    Tensor out(resultDType(cpu::kUnaryResults[op], DType::float32), src.shape());
    cpu::unary(nullptr, op, src, out, -1, 1);
    checkEach(kUnaryNames[op], out, 3, [&](int64_t i) { return static_cast<double>(static_cast<float>(kUnary[op](src[i], -1, 1))); });
  }
}

// Every int8 code, with bounds within, at and beyond the codes.
void testCodes() {
  Tensor src(DType::int8, {256}), out(DType::int8, {256});
  src.fill([](int64_t i) { return static_cast<double>(i - 128); });
  const double bounds[][2] = {{-3, 5}, {-128, 127}, {-1e30, 1e30}, {0, kInfinity}, {-1000, 300}, {130, 200}, {-300, -200}};
  for (int op = 0; op < cpu::kUnaryCount; ++op) {
    if (cpu::kUnaryResults[op] != cpu::Result::same) continue;
    for (const auto& bound : bounds) {
      const double low = bound[0], high = bound[1];
      cpu::unary(nullptr, op, src, out, low, high);
      checkEach(kUnaryNames[op], out, 0, [&](int64_t i) { return wrapped(kUnary[op](src[i], low, high), DType::int8); });
    }
  }
}

// The vectorized functions over all finite float32 values, in units of the last place; subnormal results count in the smallest unit.
void testAccuracy() {
  struct Bound {
    UnaryOp op;
    double limit, low;
  };
  // Sigmoids and normal tails lose their last bits among the smallest numbers.
  const Bound bounds[] = {{UnaryOp::exp, 1, -200},      {UnaryOp::log, 1, -1},    {UnaryOp::tanh, 1.5, -1e30}, {UnaryOp::erf, 2.5, -1e30},
                          {UnaryOp::sigmoid, 2.5, -80}, {UnaryOp::silu, 3, -80},  {UnaryOp::gelu, 6, -12},     {UnaryOp::round, 0, -1e38},
                          {UnaryOp::floor, 0, -1e38},   {UnaryOp::ceil, 0, -1e38}};
  std::vector<float> inputs;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 20011) inputs.push_back(floatOf(static_cast<uint32_t>(bits)));
  std::vector<float> outputs(inputs.size());
  for (const Bound& bound : bounds) {
    const int op = static_cast<int>(bound.op);
    cpu::elementwiseLoops<float>().unary[op](inputs.data(), outputs.data(), static_cast<int64_t>(inputs.size()), 0, 0);
    double worst = 0;
    float at = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const double expected = kUnary[op](inputs[i], 0, 0);
      if (!(inputs[i] >= bound.low) || !std::isfinite(static_cast<float>(expected)) || expected == 0) continue;
      const double error = std::fabs(outputs[i] - expected) / std::ldexp(1, std::max(std::ilogb(expected), -126) - 23);
      if (!(error <= worst)) worst = error, at = inputs[i];
    }
    CHECK(worst <= bound.limit, "%s(%.9g) is off by %.2f units in the last place", kUnaryNames[op], at, worst);
  }
  // Every instruction set gives the bits of the reference.
  std::vector<float> reference(inputs.size());
  for (int op = 0; op < cpu::kUnaryCount; ++op) {
    if (cpu::kUnaryResults[op] == cpu::Result::boolean) continue;
    const auto count = static_cast<int64_t>(inputs.size());
    cpu::elementwiseLoops<float>().unary[op](inputs.data(), outputs.data(), count, -1, 1);
    cpu::kFloatLoopsRef.unary[op](inputs.data(), reference.data(), count, -1, 1);
    int64_t different = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      different += bitsOf(outputs[i]) != bitsOf(reference[i]) && !(outputs[i] != outputs[i] && reference[i] != reference[i]);
    }
    CHECK(different == 0, "%s: %ld results differ from the reference", kUnaryNames[op], long(different));
  }
}

void binaryCase(int op, DType dtype, const Shape& shape, Order orderA, Order orderB) {
  Tensor a(dtype, shape, orderA), b(dtype, shape, orderB);
  a.randomize(random_, 3);
  b.randomize(random_, 3);
  Tensor out(resultDType(cpu::kBinaryResults[op], dtype), shape, orderA == Order::strided ? orderA : Order::dense);
  onThreads(kBinaryNames[op], out, [&](Tensor& target) { return cpu::binary(nullptr, op, a, b, target); });
  checkEach(kBinaryNames[op], out, 2, [&](int64_t i) { return saturated(wrapped(kBinary[op](a[i], b[i]), out.dtype()), out.dtype()); });
  for (const bool reversed : {false, true}) {
    const double scalar = dtype == DType::boolean ? 1 : 2;
    cpu::binaryScalar(nullptr, op, a, scalar, reversed, out);
    checkEach(kBinaryNames[op], out, 2, [&](int64_t i) {
      const double value = reversed ? kBinary[op](scalar, a[i]) : kBinary[op](a[i], scalar);
      return saturated(wrapped(value, out.dtype()), out.dtype());
    });
  }
}

void testBinary() {
  for (int op = 0; op < cpu::kBinaryCount; ++op) {
    for (DType dtype : kAll) {
      for (const Shape& shape : kShapes) {
        if (shape == Shape{90, 1000} && dtype != DType::float32) continue;
        for (Order a : kOrders) {
          for (Order b : kOrders) binaryCase(op, dtype, shape, a, b);
        }
      }
    }
  }
  // A row and a column broadcast over a matrix, and int64 beyond the exact range of doubles.
  Tensor a(DType::float32, {40, 700}), row(DType::float32, {40, 700}), column(DType::float32, {40, 700}), out(DType::float32, {40, 700});
  row.view().strides[0] = 0;
  column.view().strides[0] = 1;
  column.view().strides[1] = 0;
  a.randomize(random_);
  row.randomize(random_);
  column.randomize(random_);
  const auto add = static_cast<int32_t>(BinaryOp::add);
  cpu::binary(nullptr, add, row, column, out);
  checkEach("row + column", out, 1, [&](int64_t i) { return row[i] + column[i]; });
  cpu::binary(nullptr, add, a, row, a);
  Tensor large(DType::int64, {2}), sum(DType::int64, {2});
  auto* values = static_cast<int64_t*>(large.view().data);
  values[0] = (int64_t{1} << 62) + 1;
  values[1] = INT64_MAX;
  cpu::binaryScalar(nullptr, add, large, 1, 0, sum);
  CHECK(static_cast<int64_t*>(sum.view().data)[0] == (int64_t{1} << 62) + 2, "int64 add is inexact");
  CHECK(static_cast<int64_t*>(sum.view().data)[1] == INT64_MIN, "int64 add does not wrap");
}

void testWhere() {
  for (DType dtype : kAll) {
    for (const Shape& shape : kShapes) {
      for (Order order : kOrders) {
        Tensor condition(DType::boolean, shape, order), a(dtype, shape), b(dtype, shape, order), out(dtype, shape);
        condition.randomize(random_);
        a.randomize(random_);
        b.randomize(random_);
        onThreads("where", out, [&](Tensor& target) { return cpu::where(nullptr, condition, a, b, target); });
        checkEach("where", out, 0, [&](int64_t i) { return condition[i] != 0 ? a[i] : b[i]; });
      }
    }
  }
}

void testCopy() {
  for (DType from : kAll) {
    for (DType to : kAll) {
      for (const Shape& shape : kShapes) {
        for (Order order : kOrders) {
          if (shape == Shape{90, 1000} && from != to) continue;
          Tensor src(from, shape, order), out(to, shape);
          src.randomize(random_, 30);
          onThreads("copy", out, [&](Tensor& target) { return cpu::copy(nullptr, src, target); });
          checkEach("copy", out, 0, [&](int64_t i) {
            if (to == DType::boolean) return double(src[i] != 0);
            if (isReal(to)) return saturated(src[i], to);
            if (!isReal(from)) return wrapped(src[i], to);
            return std::fmax(std::trunc(src[i]), to == DType::uint8 ? 0 : -128);
          });
        }
      }
    }
  }
  // Truncation, saturation and NaN on the way to integers.
  const double special[] = {kNaN, kInfinity, -kInfinity, 2.9, -2.9, 300, -300, 3e9, -3e9, 1e19, -1e19};
  Tensor src(DType::float32, {std::size(special)});
  src.fill([&](int64_t i) { return special[i]; });
  for (DType to : {DType::int8, DType::uint8, DType::int32, DType::int64}) {
    const double low = to == DType::uint8 ? 0 : -std::ldexp(1, static_cast<int>(sizeOf(to)) * 8 - 1);
    const double high = to == DType::uint8 ? 255 : -low - 1;
    Tensor out(to, src.shape());
    cpu::copy(nullptr, src, out);
    checkEach("copy", out, 0, [&](int64_t i) { return src[i] != src[i] ? 0 : std::fmin(std::fmax(std::trunc(src[i]), low), high); });
  }
  // Every transposed matrix size around a tile.
  for (int64_t m : {1, 8, 15, 16, 17, 40}) {
    for (int64_t n : {8, 16, 31, 33}) {
      Tensor transposed(DType::float32, {3, m, n}), out(DType::float32, {3, m, n});
      transposed.view().strides[1] = 1;
      transposed.view().strides[2] = m;
      transposed.randomize(random_);
      onThreads("transpose", out, [&](Tensor& target) { return cpu::copy(nullptr, transposed, target); });
      checkEach("transpose", out, 0, [&](int64_t i) { return transposed[i]; });
    }
  }
}

void testCreation() {
  for (DType dtype : kAll) {
    for (const Shape& shape : kShapes) {
      for (Order order : {Order::dense, Order::strided}) {
        Tensor out(dtype, shape, order);
        onThreads("fill", out, [&](Tensor& target) { return cpu::fill(nullptr, target, 3); });
        checkEach("fill", out, 0, [&](int64_t) { return wrapped(3, dtype); });
      }
    }
    if (dtype == DType::boolean || sizeOf(dtype) == 1) continue;
    Tensor out(dtype, {70000});
    onThreads("arange", out, [&](Tensor& target) { return cpu::arange(nullptr, target, -5, 2); });
    checkEach("arange", out, 0, [&](int64_t i) {
      const double value = -5 + 2.0 * static_cast<double>(i);
      return dtype == DType::float16 && value >= 65520 ? kInfinity : value;
    });
  }
}

void testRandom() {
  // Salmon et al., Random123 known-answer test of philox4x32-10 with zero key and counter.
  const philox::Words words = philox::draw(0, 0);
  CHECK(words.word[0] == 0x6627e8d5 && words.word[1] == 0xe169c58d && words.word[2] == 0xbc57ac4c && words.word[3] == 0x9b00dbd8,
        "Philox differs from its paper");
  const philox::Words ones = philox::draw(~0ull, ~0ull, ~0u);
  CHECK(ones.word[0] != words.word[0], "Philox ignores its input");
  CHECK(philox::below(10, 0xffffffff, 0xffffffff) == 9 && philox::below(10, 0, 0) == 0, "below leaves its range");
  CHECK(philox::below(uint64_t{1} << 63, 0xffffffff, 0xfffffffe) == (uint64_t{1} << 63) - 1, "below: wrong product");

  for (DType dtype : kFloats) {
    Tensor out(dtype, {100003}), strided(dtype, {100003}, Order::strided);
    onThreads("uniform", out, [&](Tensor& target) { return cpu::uniform(nullptr, target, -1, 3, 42, 7); });
    cpu::uniform(nullptr, strided, -1, 3, 42, 7);
    double sum = 0, squares = 0;
    bool inside = true, same = true;
    for (int64_t i = 0; i < out.count(); ++i) {
      sum += out[i];
      squares += out[i] * out[i];
      inside = inside && out[i] >= -1 && out[i] < 3;
      same = same && out[i] == strided[i];
    }
    CHECK(inside, "uniform leaves [low, high)");
    CHECK(same, "uniform depends on the strides");
    // Mean 1, variance 4/3; five standard errors.
    CHECK(std::fabs(sum / out.count() - 1) < 5 * std::sqrt(4.0 / 3 / out.count()) + 4 * roundoff(dtype), "uniform: mean %g",
          sum / out.count());
    CHECK(std::fabs(squares / out.count() - 7.0 / 3) < 0.05, "uniform: mean square %g", squares / out.count());

    onThreads("normal", out, [&](Tensor& target) { return cpu::normal(nullptr, target, 2, 3, 42, 7); });
    sum = squares = 0;
    double cubes = 0;
    for (int64_t i = 0; i < out.count(); ++i) {
      const double z = (out[i] - 2) / 3;
      sum += z;
      squares += z * z;
      cubes += z * z * z * z;
    }
    CHECK(std::fabs(sum / out.count()) < 5 / std::sqrt(out.count()) + roundoff(dtype), "normal: mean %g", sum / out.count());
    CHECK(std::fabs(squares / out.count() - 1) < 0.03, "normal: variance %g", squares / out.count());
    CHECK(std::fabs(cubes / out.count() - 3) < 0.2, "normal: fourth moment %g", cubes / out.count());
  }
  for (DType dtype : {DType::int8, DType::uint8, DType::int32, DType::int64, DType::float32}) {
    Tensor out(dtype, {60000});
    onThreads("randint", out, [&](Tensor& target) { return cpu::randint(nullptr, target, 3, 9, 1, 0); });
    int64_t counts[6] = {}, outside = 0;
    for (int64_t i = 0; i < out.count(); ++i) {
      if (out[i] >= 3 && out[i] < 9) ++counts[static_cast<int>(out[i]) - 3];
      else ++outside;
    }
    CHECK(outside == 0, "randint leaves its range");
    for (int64_t count : counts) CHECK(std::labs(count - 10000) < 5 * 92, "randint: %ld of 60000", long(count));
  }
  // Consecutive counters continue one sequence.
  Tensor whole(DType::float32, {64}), tail(DType::float32, {32});
  cpu::uniform(nullptr, whole, 0, 1, 9, 0);
  cpu::uniform(nullptr, tail, 0, 1, 9, 8);
  for (int64_t i = 0; i < 32; ++i) CHECK(whole[i + 32] == tail[i], "offset does not count fours");
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  testUnary();
  testCodes();
  testAccuracy();
  testBinary();
  testWhere();
  testCopy();
  testCreation();
  testRandom();
  return check::report("kernels_elementwise_test");
}
