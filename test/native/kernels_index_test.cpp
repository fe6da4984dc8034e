// Index kernels and pools against plain loops.
#include <algorithm>
#include <numeric>

#include "test_tensor.h"

using namespace quanto;
using namespace test;

namespace {

check::Random random_(4);

const Shape kShapes[] = {{5}, {4, 6}, {3, 5, 7}, {2, 0, 3}, {300, 150}};

Shape withSize(Shape shape, int axis, int64_t size) {
  shape[axis] = size;
  return shape;
}

Tensor& randomIndex(Tensor& index, int64_t size) {
  return index.fill([&](int64_t) { return static_cast<double>(random_.bits() % size); });
}

void testGather() {
  for (DType dtype : kAll) {
    for (const Shape& shape : kShapes) {
      for (int axis = 0; axis < static_cast<int>(shape.size()); ++axis) {
        if (shape[axis] == 0) continue;
        for (Order order : kOrders) {
          Tensor src(dtype, shape, order), index(DType::int64, withSize(shape, axis, 4), order), out(dtype, index.shape());
          src.randomize(random_);
          randomIndex(index, shape[axis]);
          onThreads("gather", out, [&](Tensor& target) { return cpu::gather(nullptr, src, index, target, axis); });
          checkEach("gather", out, 0,
                    [&](int64_t i) { return src[replaceAlong(index.shape(), i, axis, static_cast<int64_t>(index[i]), shape[axis])]; });
          Tensor places(DType::int64, {6}, order), picked(dtype, withSize(shape, axis, 6));
          randomIndex(places, shape[axis]);
          onThreads("indexSelect", picked, [&](Tensor& target) { return cpu::indexSelect(nullptr, src, places, target, axis); });
          checkEach("indexSelect", picked, 0, [&](int64_t i) {
            const auto at = static_cast<int64_t>(places[along(picked.shape(), i, axis)]);
            return src[replaceAlong(picked.shape(), i, axis, at, shape[axis])];
          });
        }
      }
    }
  }
}

void testScatter() {
  for (DType dtype : kAll) {
    if (isReal(dtype) && sizeOf(dtype) == 1) continue;
    for (const Shape& shape : kShapes) {
      for (int axis = 0; axis < static_cast<int>(shape.size()); ++axis) {
        if (shape[axis] == 0) continue;
        for (Order order : kOrders) {
          const Order outOrder = order == Order::strided ? order : Order::dense;
          Tensor index(DType::int64, withSize(shape, axis, 9), order), src(dtype, index.shape(), order), out(dtype, shape, outOrder);
          src.randomize(random_);
          out.randomize(random_);
          randomIndex(index, shape[axis]);
          std::vector<double> expected(out.count());
          const auto reset = [&] {
            for (int64_t i = 0; i < out.count(); ++i) expected[i] = out[i];
          };
          const auto reference = [&](int64_t i) {
            const double value = expected[i];
            // By way of a wide integer: a float that does not fit has no defined conversion, and ARM's is another than x86's.
            if (dtype == DType::int8) return static_cast<double>(static_cast<int8_t>(static_cast<int64_t>(value)));
            if (dtype == DType::uint8) return static_cast<double>(static_cast<uint8_t>(static_cast<int64_t>(value)));
            return dtype == DType::boolean ? double(value != 0) : value;
          };
          reset();
          for (int64_t i = 0; i < src.count(); ++i) {
            expected[replaceAlong(src.shape(), i, axis, static_cast<int64_t>(index[i]), shape[axis])] += src[i];
          }
          onThreads("scatterAdd", out, [&](Tensor& target) { return cpu::scatterAdd(nullptr, index, src, target, axis); });
          checkEach("scatterAdd", out, 9, reference, 4);

          Tensor places(DType::int64, {9}, order);
          randomIndex(places, shape[axis]);
          reset();
          for (int64_t i = 0; i < src.count(); ++i) {
            const auto at = static_cast<int64_t>(places[along(src.shape(), i, axis)]);
            expected[replaceAlong(src.shape(), i, axis, at, shape[axis])] += src[i];
          }
          onThreads("indexAdd", out, [&](Tensor& target) { return cpu::indexAdd(nullptr, places, src, target, axis); });
          checkEach("indexAdd", out, 9, reference, 8);
        }
      }
    }
  }
}

void testOutOfRange() {
  for (const double bad : {-1.0, 5.0, 1e15}) {
    Tensor src(DType::float32, {5, 3}), index(DType::int64, {2, 3}), places(DType::int64, {2}), out(DType::float32, {2, 3});
    src.fill([](int64_t i) { return double(i); });
    index.fill([](int64_t) { return 1; });
    places.fill([](int64_t) { return 1; });
    index.set(4, bad);
    places.set(1, bad);
    CHECK(cpu::gather(nullptr, src, index, out, 0) == Status::indexOutOfRange, "gather takes %g", bad);
    CHECK(cpu::indexSelect(nullptr, src, places, out, 0) == Status::indexOutOfRange, "indexSelect takes %g", bad);
    CHECK(cpu::scatterAdd(nullptr, index, out, src, 0) == Status::indexOutOfRange, "scatterAdd takes %g", bad);
    CHECK(cpu::indexAdd(nullptr, places, out, src, 0) == Status::indexOutOfRange, "indexAdd takes %g", bad);
    Tensor half(DType::float16, {5, 3}), halfSrc(DType::float16, {2, 3});
    CHECK(cpu::indexAdd(nullptr, places, halfSrc, half, 0) == Status::indexOutOfRange, "indexAdd takes %g", bad);
  }
}

void testTopk() {
  for (DType dtype : kAll) {
    for (const Shape& shape : {Shape{1}, Shape{9}, Shape{40, 700}, Shape{2, 3, 17}, Shape{0, 5}}) {
      for (Order order : kOrders) {
        for (const bool largest : {true, false}) {
          Tensor src(dtype, shape, order);
          src.randomize(random_);
          const int64_t n = shape.back(), k = (n + 1) / 2;
          if (dtype == DType::float32 && n > 8) src.set(3, kNaN), src.set(6, kNaN), src.set(7, kInfinity);
          const Shape shorter = withSize(shape, static_cast<int>(shape.size()) - 1, k);
          Tensor values(dtype, shorter), positions(DType::int64, shorter);
          onThreads("topk", positions, [&](Tensor& target) { return cpu::topk(nullptr, src, values, target, largest); });
          std::vector<int64_t> order_(n);
          int64_t row = -1;
          const auto expected = [&](int64_t i) {
            if (i / k != row) {
              row = i / k;
              std::iota(order_.begin(), order_.end(), 0);
              const auto rank = [&](int64_t j) { return std::isnan(src[row * n + j]) ? kInfinity : src[row * n + j]; };
              std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) {
                const bool x = std::isnan(src[row * n + a]), y = std::isnan(src[row * n + b]);
                if (x != y) return largest ? x : y;
                return largest ? rank(a) > rank(b) : rank(a) < rank(b);
              });
            }
            return order_[i % k];
          };
          checkEach("topk positions", positions, 0, [&](int64_t i) { return static_cast<double>(expected(i)); });
          checkEach("topk values", values, 0, [&](int64_t i) { return src[i / k * n + expected(i)]; });
        }
      }
    }
  }
}

void testTriangular() {
  for (DType dtype : kAll) {
    for (const Shape& shape : {Shape{4, 4}, Shape{2, 3, 7}, Shape{2, 7, 3}, Shape{0, 3}, Shape{200, 300}}) {
      for (Order order : kOrders) {
        for (const int diagonal : {0, 2, -2, 50, -50}) {
          for (const bool upper : {false, true}) {
            Tensor src(dtype, shape, order), out(dtype, shape);
            src.randomize(random_);
            onThreads("triangular", out, [&](Tensor& target) { return cpu::triangular(nullptr, src, target, diagonal, upper); });
            const int64_t width = shape.back(), height = shape[shape.size() - 2];
            checkEach("triangular", out, 0, [&](int64_t i) {
              const int64_t row = i / width % height, column = i % width;
              return (upper ? column - row >= diagonal : column - row <= diagonal) ? src[i] : 0;
            });
          }
        }
      }
    }
  }
}

}  // namespace

int main() {
  testGather();
  testScatter();
  testOutOfRange();
  testTopk();
  testTriangular();
  return check::report("kernels_index_test");
}
