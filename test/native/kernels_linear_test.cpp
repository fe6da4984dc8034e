// Matrix products, quantization and optimizer updates.
#include <algorithm>

#include "cpu/backend.h"
#include "every_isa.h"
#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(5);

void testMatmul() {
  struct Case {
    int64_t batch, m, n, k;
  };
  for (const Case& c : {Case{1, 3, 5, 7}, Case{3, 1, 1, 1}, Case{4, 17, 9, 33}, Case{2, 0, 3, 4}, Case{2, 3, 4, 0}, Case{0, 2, 2, 2},
                        Case{2, 130, 140, 150}}) {
    for (Order order : kOrders) {
      for (DType dtype : kFloats) {
        Tensor a(dtype, {c.batch, c.m, c.k}, order), b(dtype, {c.batch, c.k, c.n}, order == Order::broadcast ? Order::dense : order);
        Tensor out(dtype, {c.batch, c.m, c.n}, order == Order::strided ? order : Order::dense);
        // One right operand for the whole batch.
        if (order == Order::broadcast) b.view().strides[0] = 0;
        a.randomize(random_);
        b.randomize(random_);
        const std::vector<double> aValues = a.values(), bValues = b.values();
        onThreads("matmul", out, [&](Tensor& target) { return cpu::matmul(nullptr, a, b, target); });
        const auto dot = [&](int64_t i) {
          const int64_t batch = i / (c.m * c.n), row = i / c.n % c.m, column = i % c.n;
          double sum = 0;
          for (int64_t l = 0; l < c.k; ++l) sum += aValues[(batch * c.m + row) * c.k + l] * bValues[(batch * c.k + l) * c.n + column];
          return sum;
        };
        checkEach("matmul", out, static_cast<double>(c.k) / 2 + 2, dot, 4);
        if (dtype != DType::float32) continue;
        Tensor left(DType::int8, a.shape(), order), right(DType::int8, b.shape(), order), sums(DType::int32, out.shape());
        left.fill([&](int64_t) { return double(random_.code()); });
        right.fill([&](int64_t) { return double(random_.code()); });
        const std::vector<double> leftValues = left.values(), rightValues = right.values();
        onThreads("intMatmul", sums, [&](Tensor& target) { return cpu::intMatmul(nullptr, left, right, target); });
        checkEach("intMatmul", sums, 0, [&](int64_t i) {
          const int64_t batch = i / (c.m * c.n), row = i / c.n % c.m, column = i % c.n;
          double sum = 0;
          for (int64_t l = 0; l < c.k; ++l)
            sum += leftValues[(batch * c.m + row) * c.k + l] * rightValues[(batch * c.k + l) * c.n + column];
          return sum;
        });
        // In one pass with a factor: the bits of the product in float32, rounded once.
        for (const DType type : kFloats) {
          Tensor factor(DType::float32, {1}), scaled(type, out.shape(), order == Order::strided ? order : Order::dense);
          factor.set(0, 0.0123);
          onThreads("intMatmulScaled", scaled, [&](Tensor& target) { return cpu::intMatmulScaled(nullptr, left, right, factor, target); });
          Tensor rounded(type, out.shape());
          rounded.fill([&](int64_t i) { return double(static_cast<float>(sums[i]) * static_cast<float>(factor[0])); });
          checkEach("intMatmulScaled", scaled, 0, [&](int64_t i) { return rounded[i]; });
        }
      }
    }
  }
}

void linearCase(DType dtype, int64_t m, int64_t n, int64_t k, Order order, bool withBias, bool perRow) {
  Tensor src(dtype, {m, k}, order), weight(dtype, {n, k}), bias(dtype, {n}), out(dtype, {m, n});
  src.randomize(random_);
  weight.randomize(random_);
  bias.randomize(random_);
  const View* b = withBias ? static_cast<const View*>(bias) : nullptr;
  const auto summand = [&](int64_t i) { return withBias ? bias[i % n] : 0; };
  const auto product = [&](const Tensor& left, const Tensor& right) {
    const std::vector<double> a = left.values(), b = right.values();
    std::vector<double> sums(m * n);
    for (int64_t i = 0; i < m * n; ++i) {
      for (int64_t l = 0; l < k; ++l) sums[i] += a[i / n * k + l] * b[i % n * k + l];
    }
    return sums;
  };
  const double ulps = static_cast<double>(k) / 2 + 3;
  const std::vector<double> full = product(src, weight);
  onThreads("linear", out, [&](Tensor& target) { return cpu::linear(nullptr, src, weight, b, target); });
  checkEach(
      "linear", out, ulps, [&](int64_t i) { return full[i] + summand(i); }, 4);

  Tensor codes(DType::int8, {n, k}), scale(dtype, {perRow ? n : 1});
  codes.fill([&](int64_t) { return double(random_.code()); });
  scale.fill([&](int64_t) { return 0.005 + 0.01 * std::fabs(random_.symmetric()); });
  Tensor packed(DType::uint8, {static_cast<int64_t>(cpu::cpuBackend()->packedBytes(n, k))});
  CHECK(cpu::packWeight(nullptr, codes, packed) == Status::ok, "packWeight failed");
  Tensor restored(DType::int8, {n, k});
  View opaque = *static_cast<const View*>(codes);
  opaque.data = packed.view().data;
  opaque.layout = Layout::packed;
  CHECK(cpu::unpackWeight(nullptr, &opaque, restored) == Status::ok, "unpackWeight failed");
  checkEach("unpackWeight", restored, 0, [&](int64_t i) { return codes[i]; });

  const std::vector<double> weightOnly = product(src, codes);
  const auto weightScale = [&](int64_t i) { return scale[perRow ? i % n : 0]; };
  for (const View* form : {static_cast<const View*>(codes), static_cast<const View*>(&opaque)}) {
    onThreads("linearWeightOnly", out, [&](Tensor& target) { return cpu::linearWeightOnly(nullptr, src, form, scale, b, target, 0); });
    checkEach(
        "linearWeightOnly", out, ulps, [&](int64_t i) { return weightOnly[i] * weightScale(i) + summand(i); }, 4);
    Tensor input(DType::int8, {m, k}, order), inputScale(dtype, {perRow ? m : 1});
    input.fill([&](int64_t) { return double(random_.code()); });
    inputScale.fill([&](int64_t) { return 0.005 + 0.01 * std::fabs(random_.symmetric()); });
    const std::vector<double> integers = product(input, codes);
    onThreads("linearInt8", out,
              [&](Tensor& target) { return cpu::linearInt8(nullptr, input, inputScale, form, scale, b, nullptr, target, 0); });
    checkEach(
        "linearInt8", out, 3, [&](int64_t i) { return integers[i] * inputScale[perRow ? i / n : 0] * weightScale(i) + summand(i); }, 1);
  }
}

void testLinear() {
  struct Case {
    int64_t m, n, k;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{3, 17, 33}, Case{1, 40, 20}, Case{0, 3, 4}, Case{2, 3, 0}, Case{65, 130, 128}}) {
    for (DType dtype : kFloats) {
      for (Order order : {Order::dense, Order::strided}) {
        for (const bool flag : {false, true})
          linearCase(dtype, c.m, c.n, c.k, order, flag, !flag), linearCase(dtype, c.m, c.n, c.k, order, flag, flag);
      }
    }
  }
}

// The quotient rounded to the dtype, then half to even, saturated.
double code(double x, double scale, DType dtype, DType codes) {
  if (scale == 0) return 0;
  const auto quotient = static_cast<float>(x) / static_cast<float>(scale);
  const double rounded = visit(dtype, [&](auto type) -> double {
    if constexpr (isReal(type)) return toFloat<type>(fromFloat<type>(quotient));
    else return quotient;
  });
  const double low = codes == DType::int8 ? -128 : 0, high = codes == DType::int8 ? 127 : 255;
  if (rounded != rounded) return 0;
  return std::nearbyint(std::fmin(std::fmax(rounded, low), high));
}

void testQuantize() {
  for (DType dtype : kFloats) {
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{7}, Shape{5, 33}, Shape{3, 4, 600}, Shape{100, 700}}) {
      for (Order order : kOrders) {
        // Along the first axis, the last, or one for all.
        for (const int axis : {-1, 0, static_cast<int>(shape.size()) - 1}) {
          Tensor src(dtype, shape, order), scale(dtype, shape);
          for (int dim = 0; dim < static_cast<int>(shape.size()); ++dim) {
            if (dim != axis) scale.view().strides[dim] = 0;
            else scale.view().strides[dim] = 1;
          }
          src.randomize(random_, 3);
          scale.fill([&](int64_t) { return 0.01 + 0.01 * std::fabs(random_.symmetric()); });
          for (DType codes : {DType::int8, DType::uint8}) {
            Tensor out(codes, shape, order == Order::strided ? order : Order::dense);
            onThreads("quantize", out, [&](Tensor& target) { return cpu::quantize(nullptr, src, scale, target); });
            checkEach("quantize", out, 0, [&](int64_t i) { return code(src[i], scale[i], dtype, codes); });
            Tensor back(dtype, shape);
            onThreads("dequantize", back, [&](Tensor& target) { return cpu::dequantize(nullptr, out, scale, target); });
            checkEach("dequantize", back, 0, [&](int64_t i) {
              const float product = static_cast<float>(scale[i]) * static_cast<float>(out[i]);
              return visit(dtype, [&](auto type) -> double {
                if constexpr (isReal(type)) return toFloat<type>(fromFloat<type>(product));
                else return product;
              });
            });
          }
        }
      }
    }
  }
}

void testQuantizeSpecial() {
  const double special[] = {kNaN, kInfinity, -kInfinity, 0, 0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 127.5, 300, -300, 1e30, -1e30, 126.5};
  const double expected[] = {0, 127, -128, 0, 0, 2, 2, 0, -2, 127, 127, 127, -128, 127, -128, 126};
  Tensor src(DType::float32, {16}), scale(DType::float32, {16}, Order::broadcast), out(DType::int8, {16});
  src.fill([&](int64_t i) { return special[i]; });
  scale.set(0, 1);
  cpu::quantize(nullptr, src, scale, out);
  checkEach("quantize special values", out, 0, [&](int64_t i) { return expected[i]; });
  scale.set(0, 0);
  cpu::quantize(nullptr, src, scale, out);
  checkEach("quantize with scale 0", out, 0, [](int64_t) { return 0; });
  for (DType float8 : {DType::float8_e4m3fn, DType::float8_e4m3fnuz, DType::float8_e5m2}) {
    Tensor codes(float8, {16});
    cpu::quantize(nullptr, src, scale, codes);
    checkEach("quantize to float8 with scale 0", codes, 0, [](int64_t) { return 0; });
    scale.set(0, 1);
    cpu::quantize(nullptr, src, scale, codes);
    CHECK(codes[0] == 0, "float8 codes keep NaN");
    const double largest = float8 == DType::float8_e4m3fn ? 448 : float8 == DType::float8_e4m3fnuz ? 240 : 57344;
    CHECK(codes[1] == largest && codes[2] == -largest && codes[13] == largest, "float8 codes do not saturate");
    scale.set(0, 0);
  }
}

// Vectors computed with numpy float32: w[i] = sin(i + 1).
void testGolden() {
  Tensor w(DType::float32, {3, 4}), codes(DType::int8, {3, 4});
  w.fill([](int64_t i) { return static_cast<float>(std::sin(static_cast<double>(i + 1))); });
  const auto quantized = [&](DType dtype, const std::vector<float>& scales, int axis, const std::vector<int>& expected) {
    Tensor out(dtype, {3, 4}), scale(DType::float32, {3, 4});
    scale.view().strides[0] = axis == 0;
    scale.view().strides[1] = axis == 1;
    std::copy(scales.begin(), scales.end(), static_cast<float*>(scale.view().data));
    cpu::quantize(nullptr, w, scale, out);
    for (int64_t i = 0; i < 12; ++i) {
      const uint8_t got = out.bytes()[i];
      CHECK(got == static_cast<uint8_t>(expected[i]), "golden codes (%s) at %ld: %d", info(dtype).name, long(i), got);
    }
  };
  // absmax along the columns, then the quotient by the largest code.
  const auto scalesOf = [&](double largest) {
    Tensor maxima(DType::float32, {3});
    cpu::reduce(nullptr, static_cast<int32_t>(ReduceOp::absmax), w, maxima, 1, 0);
    std::vector<float> scales;
    for (int64_t i = 0; i < 3; ++i) scales.push_back(static_cast<float>(maxima[i]) / static_cast<float>(largest));
    return scales;
  };
  const std::vector<float> rows = scalesOf(127);
  CHECK(std::fabs(rows[0] - 0.007159822) < 1e-9 && std::fabs(rows[1] - 0.007790222) < 1e-9 && std::fabs(rows[2] - 0.007873938) < 1e-9,
        "golden scales");
  quantized(DType::int8, rows, 0, {118, 127, 20, -106, -123, -36, 84, 127, 52, -69, -127, -68});
  const float one = *std::max_element(rows.begin(), rows.end());
  quantized(DType::int8, {one}, -1, {107, 115, 18, -96, -122, -35, 83, 126, 52, -69, -127, -68});
  quantized(DType::float8_e4m3fn, scalesOf(448), 0, {0x7d, 0x7e, 0x69, 0xfc, 0xfe, 0xf0, 0x79, 0x7e, 0x74, 0xf7, 0xfe, 0xf7});
  quantized(DType::float8_e4m3fnuz, scalesOf(240), 0, {0x7e, 0x7f, 0x69, 0xfc, 0xff, 0xf0, 0x7a, 0x7f, 0x74, 0xf8, 0xff, 0xf8});
  quantized(DType::float8_e5m2, scalesOf(57344), 0, {0x7a, 0x7b, 0x70, 0xfa, 0xfb, 0xf4, 0x79, 0x7b, 0x76, 0xf8, 0xfb, 0xf8});

  // Integer weights and activations: x[i] = cos(i).
  Tensor x(DType::float32, {2, 4}), xCodes(DType::int8, {2, 4}), inputScale(DType::float32, {1}), scale(DType::float32, {3}),
      spread(DType::float32, {3, 4}), everywhere(DType::float32, {2, 4}, Order::broadcast), y(DType::float32, {2, 3});
  x.fill([](int64_t i) { return static_cast<float>(std::cos(static_cast<double>(i))); });
  inputScale.set(0, 1.0f / 127);
  everywhere.set(0, 1.0f / 127);
  scale.fill([&](int64_t i) { return rows[i]; });
  spread.view().strides[0] = 1;
  spread.view().strides[1] = 0;
  for (int64_t i = 0; i < 3; ++i) spread.set(4 * i, rows[i]);
  cpu::quantize(nullptr, x, everywhere, xCodes);
  const int xExpected[] = {127, 69, -53, -126, -83, 36, 122, 96};
  checkEach("golden input codes", xCodes, 0, [&](int64_t i) { return xExpected[i]; });
  cpu::quantize(nullptr, w, spread, codes);
  cpu::linearInt8(nullptr, xCodes, inputScale, codes, scale, nullptr, nullptr, y, 0);
  const double yExpected[] = {2.0320928, -2.3652217, 1.0627956, -0.7305274, 1.9232034, -1.7869499};
  for (int64_t i = 0; i < 6; ++i) CHECK(std::fabs(y[i] - yExpected[i]) < 3e-7, "golden linear at %ld: %.8g", long(i), y[i]);
}

// Runs `steps` updates of one parameter and its float64 reference.
template <class Kernel, class Reference>
void optimizerCase(const char* what, DType dtype, int states, Kernel&& kernel, Reference&& reference) {
  const int64_t n = 20001;
  Tensor parameter(dtype, {n}), gradient(dtype, {n}), first(DType::float32, {n}), second(DType::float32, {n});
  parameter.randomize(random_);
  first.fill([](int64_t) { return 0; });
  second.fill([](int64_t) { return 0; });
  for (int step = 1; step <= 3; ++step) {
    gradient.randomize(random_);
    std::vector<double> expected(n), p(n), a(n), b(n);
    for (int64_t i = 0; i < n; ++i) {
      p[i] = parameter[i], a[i] = first[i], b[i] = second[i];
      reference(step, p[i], gradient[i], a[i], b[i]);
    }
    Tensor single = parameter, singleFirst = first, singleSecond = second;
    cpu::setThreadCount(1);
    CHECK(kernel(step, single, gradient, singleFirst, singleSecond) == Status::ok, "%s failed", what);
    cpu::setThreadCount(3);
    CHECK(kernel(step, parameter, gradient, first, second) == Status::ok, "%s failed", what);
    CHECK(single.bytes() == parameter.bytes(), "%s depends on the thread count", what);
    checkEach(
        what, parameter, 6, [&](int64_t i) { return p[i]; }, 1);
    if (states > 0)
      checkEach(
          what, first, 6, [&](int64_t i) { return a[i]; }, 1);
    if (states > 1)
      checkEach(
          what, second, 6, [&](int64_t i) { return b[i]; }, 1);
  }
}

void testOptimizers() {
  for (DType dtype : kFloats) {
    for (const double decay : {0.0, 0.1}) {
      for (const double momentum : {0.0, 0.9}) {
        for (const bool nesterov : {false, true}) {
          const double dampening = nesterov ? 0 : 0.3;
          optimizerCase(
              "sgd", dtype, momentum != 0,
              [&](int step, const View* p, const View* g, const View* buffer, const View*) {
                const SgdStep settings{0.1, momentum, dampening, decay, nesterov, step == 1};
                return cpu::sgd(nullptr, p, g, momentum != 0 ? buffer : nullptr, &settings);
              },
              [&](int step, double& p, double g, double& buffer, double&) {
                g += decay * p;
                if (momentum != 0) {
                  buffer = step == 1 ? g : momentum * buffer + (1 - dampening) * g;
                  g = nesterov ? g + momentum * buffer : buffer;
                }
                p -= 0.1 * g;
              });
        }
      }
      for (const bool decoupled : {false, true}) {
        optimizerCase(
            "adam", dtype, 2,
            [&](int step, const View* p, const View* g, const View* mean, const View* square) {
              const AdamStep settings{0.01, 0.9, 0.999, 1e-8, decay, decoupled, step};
              return cpu::adam(nullptr, p, g, mean, square, &settings);
            },
            [&](int step, double& p, double g, double& mean, double& square) {
              if (decoupled) p *= 1 - 0.01 * decay;
              else g += decay * p;
              mean = 0.9 * mean + 0.1 * g;
              square = 0.999 * square + 0.001 * g * g;
              const double corrected = std::sqrt(square / (1 - std::pow(0.999, step))) + 1e-8;
              p -= 0.01 * mean / (1 - std::pow(0.9, step)) / corrected;
            });
      }
      optimizerCase(
          "adadelta", dtype, 2,
          [&](int, const View* p, const View* g, const View* squares, const View* deltas) {
            const AdadeltaStep settings{1, 0.9, 1e-6, decay};
            return cpu::adadelta(nullptr, p, g, squares, deltas, &settings);
          },
          [&](int, double& p, double g, double& squares, double& deltas) {
            g += decay * p;
            squares = 0.9 * squares + 0.1 * g * g;
            const double delta = std::sqrt(deltas + 1e-6) / std::sqrt(squares + 1e-6) * g;
            deltas = 0.9 * deltas + 0.1 * delta * delta;
            p -= delta;
          });
    }
  }
}

void testBackend() {
  const Backend& backend = *cpu::cpuBackend();
  CHECK(backend.abi == kBackendAbi && !backend.unavailable() && backend.deviceCount() == 1, "the CPU is not available");
  for (const size_t bytes : {size_t{1}, size_t{64}, size_t{1} << 20, (size_t{8} << 20) + 5}) {
    void* data = backend.allocate(0, bytes);
    CHECK(data && reinterpret_cast<uintptr_t>(data) % 64 == 0, "allocate(%zu) is not aligned", bytes);
    if (!data) continue;
    std::memset(data, 1, bytes);
    backend.release(0, data, bytes);
  }
  CHECK(!backend.allocate(0, size_t{1} << 60), "an impossible allocation succeeds");
#define KERNEL(name, ...) CHECK(backend.name != nullptr, #name " is empty");
#include "kernels.def"
#undef KERNEL
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  testMatmul();
  testLinear();
  testQuantize();
  testQuantizeSpecial();
  testGolden();
  testOptimizers();
  testBackend();
  return check::report("kernels_linear_test");
}
