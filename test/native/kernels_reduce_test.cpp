// Reductions, softmax and normalization against float64 loops.
#include "every_isa.h"
#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(3);

constexpr const char* kReduceNames[] = {
#define REDUCE(name) #name,
    QUANTO_REDUCE_OPS(REDUCE)
#undef REDUCE
};

double reduceReference(ReduceOp op, const Tensor& src, int64_t row, int64_t n, double correction) {
  const auto at = [&](int64_t i) { return src[row * n + i]; };
  double sum = 0, largest = -kInfinity, smallest = kInfinity, magnitude = 0;
  bool unordered = false, any = false, all = true;
  for (int64_t i = 0; i < n; ++i) {
    const double x = at(i);
    sum += x;
    largest = std::fmax(largest, x);
    smallest = std::fmin(smallest, x);
    if (std::isfinite(x)) magnitude = std::fmax(magnitude, std::fabs(x));
    unordered = unordered || x != x;
    any = any || x != 0;
    all = all && x != 0;
  }
  switch (op) {
    case ReduceOp::sum:
      return sum;
    case ReduceOp::mean:
      return sum / n;
    case ReduceOp::max:
      return unordered ? kNaN : largest;
    case ReduceOp::min:
      return unordered ? kNaN : smallest;
    case ReduceOp::absmax:
      return magnitude;
    case ReduceOp::any:
      return any;
    case ReduceOp::all:
      return all;
    case ReduceOp::var: {
      double squares = 0;
      for (int64_t i = 0; i < n; ++i) squares += (at(i) - sum / n) * (at(i) - sum / n);
      return squares / std::fmax(0, n - correction);
    }
    default: {
      double exponentials = 0;
      for (int64_t i = 0; i < n; ++i) exponentials += std::exp(at(i) - largest);
      return std::isinf(largest) ? largest : largest + std::log(exponentials);
    }
  }
}

DType resultDType(ReduceOp op, DType dtype) {
  if (op == ReduceOp::any || op == ReduceOp::all) return DType::boolean;
  if (isReal(dtype)) return dtype;
  if (op == ReduceOp::sum) return DType::int64;
  return op == ReduceOp::max || op == ReduceOp::min || op == ReduceOp::absmax ? dtype : DType::float32;
}

void reduceCase(ReduceOp op, const Tensor& src, int reduced) {
  const Shape kept(src.shape().begin(), src.shape().end() - reduced);
  Tensor out(resultDType(op, src.dtype()), kept);
  const int64_t n = out.count() ? src.count() / out.count() : 0;
  const bool hasIdentity =
      op == ReduceOp::sum || op == ReduceOp::absmax || op == ReduceOp::any || op == ReduceOp::all || op == ReduceOp::mean;
  if (n == 0 && !hasIdentity && !isReal(src.dtype())) return;
  onThreads(kReduceNames[static_cast<int>(op)], out,
            [&](Tensor& target) { return cpu::reduce(nullptr, static_cast<int32_t>(op), src, target, reduced, 1); });
  // float8 holds no infinity, and the values of these tests are about 1.
  if (n == 0 && isReal(src.dtype()) && sizeOf(src.dtype()) == 1) return;
  const bool sums = op == ReduceOp::sum || op == ReduceOp::mean;
  const double magnitude = sums ? (op == ReduceOp::sum ? 2.0 * static_cast<double>(n) : 2.0) : 0;
  checkEach(
      kReduceNames[static_cast<int>(op)], out, 3,
      [&](int64_t i) {
        const double value = reduceReference(op, src, i, n, 1);
        const double limit = src.dtype() == DType::float8_e4m3fn ? 448 : src.dtype() == DType::float8_e4m3fnuz ? 240 : 57344;
        if (value != value) return value;
        return isReal(out.dtype()) && sizeOf(out.dtype()) == 1 ? std::fmax(std::fmin(value, limit), -limit) : value;
      },
      magnitude);
}

void testReduce() {
  const Shape shapes[] = {{1}, {0}, {700}, {4, 0}, {0, 4}, {5, 33}, {33, 5}, {3, 4, 20}, {2, 3, 4, 5}, {20, 1000}};
  for (int op = 0; op <= static_cast<int>(ReduceOp::all); ++op) {
    const auto kind = static_cast<ReduceOp>(op);
    for (DType dtype : kAll) {
      if (dtype == DType::boolean && kind == ReduceOp::absmax) continue;
      for (const Shape& shape : shapes) {
        for (Order order : kOrders) {
          Tensor src(dtype, shape, order);
          src.randomize(random_);
          for (int reduced = 1; reduced <= static_cast<int>(shape.size()); ++reduced) reduceCase(kind, src, reduced);
        }
      }
      // Along the first axis of a matrix: the view that an op makes for it.
      for (const Shape& shape : {Shape{600, 40}, Shape{10, 3000}}) {
        Tensor src(dtype, shape);
        View& view = src.view();
        std::swap(view.strides[0], view.strides[1]);
        view.strides[0] = 1;
        view.strides[1] = shape[0];
        src.randomize(random_);
        reduceCase(kind, src, 1);
      }
    }
    // Long enough for several pieces.
    Tensor longRow(DType::float32, {2, 100000});
    longRow.randomize(random_);
    reduceCase(kind, longRow, 1);
    reduceCase(kind, longRow, 2);
    Tensor unordered(DType::float32, {3, 50});
    unordered.randomize(random_);
    unordered.set(60, kNaN);
    unordered.set(149, -kInfinity);
    if (kind != ReduceOp::var) reduceCase(kind, unordered, 1);
  }
  // A number: 0-d.
  Tensor number(DType::float32, {}), out(DType::float32, {});
  number.set(0, 7);
  cpu::reduce(nullptr, static_cast<int32_t>(ReduceOp::sum), number, out, 0, 0);
  CHECK(out[0] == 7, "sum of a number");
  // A hundred million times 0.1 would drift in a plain float32 sum; ten million do here.
  Tensor tenths(DType::float32, {10000000}, Order::broadcast), total(DType::float32, {});
  tenths.set(0, 0.1f);
  cpu::reduce(nullptr, static_cast<int32_t>(ReduceOp::sum), tenths, total, 1, 0);
  CHECK(close(total[0], 1e7 * static_cast<double>(0.1f), DType::float32, 1), "sum of tenths: %.9g", total[0]);
  // Integer sums are exact beyond 2^53.
  Tensor integers(DType::int64, {3}), sum(DType::int64, {});
  auto* values = static_cast<int64_t*>(integers.view().data);
  values[0] = int64_t{1} << 60;
  values[1] = values[2] = 1;
  cpu::reduce(nullptr, static_cast<int32_t>(ReduceOp::sum), integers, sum, 1, 0);
  CHECK(static_cast<int64_t*>(sum.view().data)[0] == (int64_t{1} << 60) + 2, "int64 sum is inexact");
}

void testArgReduce() {
  for (DType dtype : kAll) {
    for (const Shape& shape : {Shape{1}, Shape{5, 600}, Shape{2, 3, 17}, Shape{0, 3}}) {
      for (Order order : kOrders) {
        for (ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
          Tensor src(dtype, shape, order);
          src.randomize(random_);
          if (dtype == DType::float32 && src.count() > 10) src.set(src.count() - 3, kNaN), src.set(src.count() - 2, kNaN);
          Tensor out(DType::int64, Shape(shape.begin(), shape.end() - 1));
          onThreads("argReduce", out, [&](Tensor& target) { return cpu::argReduce(nullptr, static_cast<int32_t>(op), src, target); });
          const int64_t n = shape.back();
          checkEach("argReduce", out, 0, [&](int64_t row) {
            int64_t best = 0;
            for (int64_t i = 1; i < n; ++i) {
              const double x = src[row * n + i], y = src[row * n + best];
              if (y == y && (x != x || (op == ReduceOp::max ? x > y : x < y))) best = i;
            }
            return static_cast<double>(best);
          });
        }
      }
    }
  }
}

void testCumsum() {
  for (DType dtype : kAll) {
    if (isReal(dtype) && sizeOf(dtype) == 1) continue;
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{4, 0}, Shape{70, 600}, Shape{2, 3, 17}}) {
      for (Order order : kOrders) {
        Tensor src(dtype, shape, order);
        src.randomize(random_);
        Tensor out(isReal(dtype) ? dtype : DType::int64, shape, order == Order::strided ? order : Order::dense);
        onThreads("cumsum", out, [&](Tensor& target) { return cpu::cumsum(nullptr, src, target); });
        const int64_t n = shape.empty() ? 1 : shape.back();
        double sum = 0;
        checkEach("cumsum", out, 1, [&](int64_t i) { return sum = (i % n ? sum : 0) + src[i]; });
      }
    }
  }
}

void testSoftmax() {
  for (DType dtype : kFloats) {
    for (const Shape& shape : {Shape{1}, Shape{0, 4}, Shape{4, 0}, Shape{3, 5}, Shape{2, 3, 600}, Shape{300, 40}}) {
      Tensor src(dtype, shape), out(dtype, shape), slope(dtype, shape), dsrc(dtype, shape);
      src.randomize(random_, 5);
      slope.randomize(random_);
      const int64_t n = shape.back();
      std::vector<double> sums(n ? src.count() / n : 0);
      for (int64_t i = 0; i < src.count(); ++i) sums[i / n] += std::exp(src[i]);
      onThreads("softmax", out, [&](Tensor& target) { return cpu::softmax(nullptr, src, target); });
      // The rounding of x - max, at most 10 here, becomes a relative error of the exponential.
      checkEach("softmax", out, 10, [&](int64_t i) { return std::exp(src[i]) / sums[i / n]; });
      onThreads("softmaxBackward", dsrc, [&](Tensor& target) { return cpu::softmaxBackward(nullptr, slope, out, target); });
      std::vector<double> dots(sums.size()), totals(sums.size());
      for (int64_t i = 0; i < src.count(); ++i) dots[i / n] += slope[i] * out[i], totals[i / n] += slope[i];
      checkEach(
          "softmaxBackward", dsrc, 4, [&](int64_t i) { return out[i] * (slope[i] - dots[i / n]); }, 0.5);
      onThreads("logSoftmax", out, [&](Tensor& target) { return cpu::logSoftmax(nullptr, src, target); });
      checkEach(
          "logSoftmax", out, 4, [&](int64_t i) { return src[i] - std::log(sums[i / n]); }, 4);
      onThreads("logSoftmaxBackward", dsrc, [&](Tensor& target) { return cpu::logSoftmaxBackward(nullptr, slope, out, target); });
      checkEach(
          "logSoftmaxBackward", dsrc, 6, [&](int64_t i) { return slope[i] - std::exp(out[i]) * totals[i / n]; },
          static_cast<double>(n) / 10 + 2);
    }
  }
  // Large values do not overflow; one -infinity has no share; a row of them is undefined.
  Tensor src(DType::float32, {3, 2}), out(DType::float32, {3, 2});
  const double values[] = {1000, 1000, -kInfinity, 3, -kInfinity, -kInfinity}, expected[] = {0.5, 0.5, 0, 1, kNaN, kNaN};
  src.fill([&](int64_t i) { return values[i]; });
  cpu::softmax(nullptr, src, out);
  checkEach("softmax", out, 0, [&](int64_t i) { return expected[i]; });
  cpu::logSoftmax(nullptr, src, out);
  checkEach("logSoftmax", out, 1, [&](int64_t i) { return std::log(expected[i]); });
  // One NaN, before and after larger values, makes all of its row NaN.
  for (const int64_t n : {1, 5, 16, 40, 64, 600}) {
    for (const int64_t place : {int64_t{0}, n / 2, n - 1}) {
      Tensor row(DType::float32, {1, n}), result(DType::float32, {1, n});
      row.fill([&](int64_t i) { return i == place ? kNaN : static_cast<double>(i % 7); });
      for (const auto op : {cpu::softmax, cpu::logSoftmax}) {
        op(nullptr, row, result);
        checkEach("softmax of NaN", result, 0, [](int64_t) { return kNaN; });
      }
    }
  }
}

struct NormReference {
  std::vector<double> mean, rstd;
  NormReference(const Tensor& src, double eps, bool centered) {
    const int64_t n = src.shape().back(), rows = n ? src.count() / n : 0;
    for (int64_t row = 0; row < rows; ++row) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < n; ++i) sum += src[row * n + i];
      mean.push_back(centered ? sum / n : 0);
      for (int64_t i = 0; i < n; ++i) squares += (src[row * n + i] - mean[row]) * (src[row * n + i] - mean[row]);
      rstd.push_back(1 / std::sqrt(squares / n + eps));
    }
  }
};

void normCase(DType dtype, const Shape& shape, bool affine, bool centered) {
  const double eps = 1e-5;
  const int64_t n = shape.back();
  Tensor src(dtype, shape), weight(dtype, {n}), bias(dtype, {n}), out(dtype, shape), slope(dtype, shape);
  Tensor mean(DType::float32, {shape[0]}), rstd(DType::float32, {shape[0]}), dsrc(dtype, shape), dweight(DType::float32, {n}),
      dbias(DType::float32, {n});
  src.randomize(random_, 3);
  slope.randomize(random_);
  weight.randomize(random_);
  bias.randomize(random_);
  const View* w = affine ? static_cast<const View*>(weight) : nullptr;
  const View* b = affine && centered ? static_cast<const View*>(bias) : nullptr;
  const NormReference reference(src, eps, centered);
  const auto normalized = [&](int64_t i) { return (src[i] - reference.mean[i / n]) * reference.rstd[i / n]; };
  onThreads("norm", out, [&](Tensor& target) {
    return centered ? cpu::layerNorm(nullptr, src, w, b, target, mean, rstd, eps) : cpu::rmsNorm(nullptr, src, w, target, rstd, eps);
  });
  checkEach(
      "norm", out, 6, [&](int64_t i) { return normalized(i) * (w ? weight[i % n] : 1) + (b ? bias[i % n] : 0); }, 4);
  checkEach("rstd", rstd, 4, [&](int64_t i) { return reference.rstd[i]; });
  if (centered)
    checkEach(
        "mean", mean, 4, [&](int64_t i) { return reference.mean[i]; }, 3);

  // In one pass with its quantization: the bits of both kernels.
  Tensor scale(dtype, {1}), codes(DType::int8, shape), expected(DType::int8, shape);
  scale.set(0, 0.021);
  View everywhere = *static_cast<const View*>(scale);
  everywhere.ndim = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) everywhere.shape[i] = shape[i], everywhere.strides[i] = 0;
  CHECK(cpu::quantize(nullptr, out, &everywhere, expected) == Status::ok, "quantize failed");
  onThreads("norm to int8", codes, [&](Tensor& target) {
    return centered ? cpu::layerNormInt8(nullptr, src, w, b, scale, target, eps) : cpu::rmsNormInt8(nullptr, src, w, scale, target, eps);
  });
  checkEach("norm to int8", codes, 0, [&](int64_t i) { return expected[i]; });

  const auto backward = [&](const View* input, const View* dw, const View* db) {
    return centered ? cpu::layerNormBackward(nullptr, slope, src, w, mean, rstd, input, dw, db)
                    : cpu::rmsNormBackward(nullptr, slope, src, w, rstd, input, dw);
  };
  onThreads("norm dsrc", dsrc, [&](Tensor& target) { return backward(target, nullptr, nullptr); });
  onThreads("norm dweight", dweight, [&](Tensor& target) { return backward(nullptr, target, dbias); });
  std::vector<double> level(shape[0]), tilt(shape[0]);
  const auto g = [&](int64_t i) { return slope[i] * (w ? weight[i % n] : 1); };
  for (int64_t i = 0; i < src.count(); ++i) level[i / n] += g(i) / n, tilt[i / n] += g(i) * normalized(i) / n;
  checkEach(
      "norm dsrc", dsrc, 16,
      [&](int64_t i) { return reference.rstd[i / n] * (g(i) - (centered ? level[i / n] : 0) - normalized(i) * tilt[i / n]); },
      n == 1 ? 400 : 10);
  const auto columnSum = [&](auto&& term) {
    return [&, term](int64_t column) {
      double sum = 0;
      for (int64_t row = 0; row < shape[0]; ++row) sum += term(row * n + column);
      return sum;
    };
  };
  const double magnitude = 4 * static_cast<double>(shape[0]);
  checkEach("norm dweight", dweight, 4, columnSum([&](int64_t i) { return slope[i] * normalized(i); }), magnitude);
  if (centered) checkEach("norm dbias", dbias, 1, columnSum([&](int64_t i) { return slope[i]; }), magnitude);
}

// Each step rounded to float32, so that the result is too wherever it is computed.
void batchNormCase(DType dtype, const Shape& shape) {
  const int64_t channels = shape[1], length = shape[2];
  Tensor src(dtype, shape), out(dtype, shape), scale(DType::float32, {channels}), shift(DType::float32, {channels});
  src.randomize(random_, 3);
  scale.randomize(random_);
  shift.randomize(random_);
  onThreads("batch norm", out, [&](Tensor& target) { return cpu::batchNorm(nullptr, src, scale, shift, target); });
  Tensor expected(dtype, shape);
  expected.fill([&](int64_t i) {
    const int64_t channel = i / length % channels;
    const float product = static_cast<float>(src[i]) * static_cast<float>(scale[channel]);
    return product + static_cast<float>(shift[channel]);
  });
  checkEach("batch norm", out, 0, [&](int64_t i) { return expected[i]; });
}

void testBatchNorm() {
  for (DType dtype : kFloats) {
    for (const int64_t channels : {1, 7, 33}) {
      for (const int64_t length : {0, 1, 2, 15, 16, 17, 63, 127, 5000}) {
        batchNormCase(dtype, {3, channels, length});
      }
    }
    batchNormCase(dtype, {0, 5, 3});
    batchNormCase(dtype, {2, 0, 3});
    batchNormCase(dtype, {300, 130, 1});
  }
}

void testNorm() {
  for (DType dtype : kFloats) {
    for (const Shape& shape : {Shape{1, 8}, Shape{0, 4}, Shape{3, 1}, Shape{5, 33}, Shape{7, 1030}, Shape{400, 64}}) {
      for (const bool affine : {false, true}) {
        for (const bool centered : {false, true}) normCase(dtype, shape, affine, centered);
      }
    }
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  testReduce();
  testArgReduce();
  testCumsum();
  testSoftmax();
  testNorm();
  testBatchNorm();
  return check::report("kernels_reduce_test");
}
