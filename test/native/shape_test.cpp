// Views against a naive model: a list of values and a shape. Chains of random view ops, and which shapes a view can take.
#include "ops/shape.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "ops/binary.h"
#include "ops/creation.h"
#include "tensors.h"

using namespace quanto;
using namespace quanto::ops;
using namespace check;

namespace {

// Row-major values.
struct Model {
  Shape shape;
  std::vector<int32_t> values;

  // The model whose element at `index` is this one's at source(index).
  template <class Source>
  Model from(const Shape& to, Source&& source) const {
    Model model{to, {}};
    Shape index = to;
    for (int64_t place = 0; place < to.numel(); ++place) {
      int64_t rest = place;
      for (int i = to.size() - 1; i >= 0; --i) {
        index[i] = rest % to[i];
        rest /= to[i];
      }
      const Shape at = source(index);
      int64_t offset = 0;
      for (int i = 0; i < shape.size(); ++i) offset = offset * shape[i] + at[i];
      model.values.push_back(values[static_cast<size_t>(offset)]);
    }
    return model;
  }
};

struct Pair {
  Tensor tensor;
  Model model;
};

Pair start(Random& random) {
  const Shape shape = randomShape(random, static_cast<int>(below(random, 5)), 4);
  std::vector<int32_t> values(static_cast<size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), 0);
  return {make(values, shape, DType::int32), {shape, values}};
}

Shape randomFactors(Random& random, int64_t count) {
  Shape shape;
  if (count == 0) return {below(random, 3), 0};
  while (count > 1 && shape.size() < 5) {
    const int64_t factor = 1 + below(random, 6);
    if (count % factor == 0) {
      shape.push(factor);
      count /= factor;
    }
  }
  if (count > 1) shape.push(count);
  return shape;
}

void step(Random& random, Pair& pair) {
  Tensor& tensor = pair.tensor;
  Model& model = pair.model;
  const int ndim = tensor.ndim();
  const int axis = ndim > 0 ? static_cast<int>(below(random, ndim)) : 0;
  switch (below(random, 5)) {
    case 0: {
      Shape axes;
      for (int i = 0; i < ndim; ++i) axes.push(i);
      for (int i = ndim - 1; i > 0; --i) std::swap(axes[i], axes[static_cast<int>(below(random, i + 1))]);
      Shape shape;
      for (int64_t from : axes) shape.push(model.shape[static_cast<int>(from)]);
      model = model.from(shape, [&](const Shape& index) {
        Shape at = index;
        for (int i = 0; i < ndim; ++i) at[static_cast<int>(axes[i])] = index[i];
        return at;
      });
      tensor = permute(tensor, axes);
      break;
    }
    case 1: {
      if (ndim == 0) return;
      const int64_t size = model.shape[axis], first = below(random, size + 2) - 1, last = below(random, size + 2),
                    stride = 1 + below(random, 3);
      const int64_t begin = std::min(size, first < 0 ? std::max<int64_t>(0, first + size) : first),
                    end = std::max(begin, std::min(size, last));
      model = model.from(withSize(model.shape, axis, (end - begin + stride - 1) / stride),
                         [&](Shape index) { return withSize(index, axis, begin + index[axis] * stride); });
      tensor = slice(tensor, axis, first, last, stride);
      break;
    }
    case 2: {
      if (ndim == 0 || model.shape[axis] == 0) return;
      const int64_t position = below(random, model.shape[axis]);
      Shape shape;
      for (int i = 0; i < ndim; ++i)
        if (i != axis) shape.push(model.shape[i]);
      model = model.from(shape, [&](const Shape& index) {
        Shape at;
        for (int i = 0; i < ndim; ++i) at.push(i == axis ? position : index[i - (i > axis)]);
        return at;
      });
      tensor = select(tensor, axis, position);
      break;
    }
    case 3: {
      if (ndim >= 5) return;
      Shape shape = {1 + below(random, 3)};
      for (int i = 0; i < ndim; ++i) shape.push(model.shape[i] == 1 ? 1 + below(random, 3) : model.shape[i]);
      if (shape.numel() > 500) return;
      const Shape before = model.shape;
      model = model.from(shape, [&](const Shape& index) {
        Shape at;
        for (int i = 0; i < ndim; ++i) at.push(before[i] == 1 ? 0 : index[i + 1]);
        return at;
      });
      tensor = expand(tensor, shape);
      break;
    }
    default: {
      const Shape shape = randomFactors(random, tensor.numel());
      model.shape = shape;
      tensor = reshape(tensor, shape);
    }
  }
}

// The strides of `shape` over the tensor's elements, if every element lies where some strides say; by looking at each element.
std::optional<Shape> stridesByForce(const Tensor& tensor, const Shape& shape) {
  const int64_t count = tensor.numel();
  if (count == 0) return contiguousStrides(shape);
  std::vector<int64_t> places(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (int dim = tensor.ndim() - 1; dim >= 0; --dim) {
      places[static_cast<size_t>(i)] += rest % tensor.dim(dim) * tensor.stride(dim);
      rest /= tensor.dim(dim);
    }
  }
  Shape strides = shape;
  const Shape steps = contiguousStrides(shape);
  for (int i = 0; i < shape.size(); ++i) strides[i] = shape[i] > 1 ? places[static_cast<size_t>(steps[i])] : 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = 0, rest = i;
    for (int dim = shape.size() - 1; dim >= 0; --dim) {
      place += rest % shape[dim] * strides[dim];
      rest /= shape[dim];
    }
    if (place != places[static_cast<size_t>(i)]) return std::nullopt;
  }
  return strides;
}

void viewsAgainstModel() {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    Pair pair = start(random);
    for (int i = 0; i < 6; ++i) step(random, pair);
    CHECK(pair.tensor.shape() == pair.model.shape, "round %d: shape %s instead of %s", round, pair.tensor.shape().str().c_str(),
          pair.model.shape.str().c_str());
    CHECK(valuesOf<int32_t>(pair.tensor) == pair.model.values, "round %d: other values in shape %s, strides %s", round,
          pair.tensor.shape().str().c_str(), pair.tensor.strides().str().c_str());
    const Shape shape = randomFactors(random, pair.tensor.numel());
    bool viewed = true;
    try {
      CHECK(valuesOf<int32_t>(view(pair.tensor, shape)) == pair.model.values, "round %d: the view %s has other values", round,
            shape.str().c_str());
    } catch (const Error&) {
      viewed = false;
    }
    CHECK(viewed == stridesByForce(pair.tensor, shape).has_value(), "round %d: a view of shape %s and strides %s as %s is %s", round,
          pair.tensor.shape().str().c_str(), pair.tensor.strides().str().c_str(), shape.str().c_str(), viewed ? "wrong" : "refused");
    CHECK(valuesOf<int32_t>(reshape(pair.tensor, shape)) == pair.model.values, "round %d: reshape to %s has other values", round,
          shape.str().c_str());
  }
}

void moves() {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const Pair pair = start(random);
    const int ndim = pair.tensor.ndim();
    if (ndim == 0) continue;
    const int from = static_cast<int>(below(random, ndim)), to = static_cast<int>(below(random, ndim));
    // By definition: take the axis out, put it in again.
    std::vector<int64_t> axes(static_cast<size_t>(ndim));
    std::iota(axes.begin(), axes.end(), 0);
    axes.erase(axes.begin() + from);
    axes.insert(axes.begin() + to, from);
    const Tensor moved = moveAxis(pair.tensor, from, to), expected = permute(pair.tensor, Shape(axes.data(), ndim));
    CHECK(moved.shape() == expected.shape() && moved.strides() == expected.strides(), "axis %d of %s moved to %d gives %s", from,
          pair.tensor.shape().str().c_str(), to, moved.shape().str().c_str());
  }
}

// Planes transposed in memory, tile by tile: whole tiles and the rests beside them, elements of every size, also into every other column.
template <class T>
void transposes(DType dtype) {
  const int64_t sides[] = {0, 1, 7, 8, 15, 16, 17, 33, 63, 64, 65, 127, 130};
  for (const int64_t rows : sides) {
    for (const int64_t columns : sides) {
      constexpr int64_t kPlanes = 2;
      std::vector<T> values(static_cast<size_t>(kPlanes * rows * columns));
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i * 2654435761u >> 7);
      const Tensor turned = permute(make(values, {kPlanes, rows, columns}, dtype), {0, 2, 1});
      const auto agrees = [&](const std::vector<T>& result) {
        bool same = result.size() == values.size();
        for (int64_t i = 0; same && i < static_cast<int64_t>(result.size()); ++i) {
          const int64_t plane = i / (rows * columns), column = i / rows % columns, row = i % rows;
          same = result[static_cast<size_t>(i)] == values[static_cast<size_t>((plane * rows + row) * columns + column)];
        }
        return same;
      };
      CHECK(agrees(valuesOf<T>(contiguous(turned))), "%lld x %lld of %d bytes are transposed wrongly", static_cast<long long>(rows),
            static_cast<long long>(columns), static_cast<int>(sizeof(T)));
      const Tensor gaps = slice(full({kPlanes, columns, 2 * rows}, 0, dtype, cpuDevice()), 2, 0, 2 * rows, 2);
      copyInPlace(gaps, turned);
      CHECK(agrees(valuesOf<T>(gaps)), "%lld x %lld of %d bytes are transposed wrongly into every other column",
            static_cast<long long>(rows), static_cast<long long>(columns), static_cast<int>(sizeof(T)));
    }
  }
}

// dst += src and dst = src where both are windows on one storage; longer than the blocks that kernels work in.
void overlaps() {
  constexpr int64_t kCount = 20000;
  const auto fresh = [] {
    std::vector<int32_t> values(kCount);
    std::iota(values.begin(), values.end(), 0);
    return make(values, {kCount}, DType::int32);
  };
  const auto gives = [](const Tensor& tensor, auto&& expected) {
    const auto values = valuesOf<int32_t>(tensor);
    for (int64_t i = 0; i < kCount; ++i)
      if (values[static_cast<size_t>(i)] != expected(i)) return false;
    return true;
  };
  Tensor all = fresh();
  addInPlace(slice(all, 0, 1, kCount, 1), slice(all, 0, 0, kCount - 1, 1));
  CHECK(gives(all, [](int64_t i) { return i == 0 ? 0 : 2 * i - 1; }), "an overlapping add_ read what it had written");
  all = fresh();
  addInPlace(all, all);
  CHECK(gives(all, [](int64_t i) { return 2 * i; }), "a tensor added to itself is not doubled");
  all = fresh();
  copyInPlace(slice(all, 0, 1, kCount, 1), slice(all, 0, 0, kCount - 1, 1));
  CHECK(gives(all, [](int64_t i) { return i == 0 ? 0 : i - 1; }), "an overlapping copy_ read what it had written");
}

template <class Call>
void throws(ErrorCode code, const char* what, Call&& call) {
  try {
    call();
    CHECK(false, "%s: no error", what);
  } catch (const Error& error) {
    CHECK(error.code == code, "%s: %s", what, error.what());
  }
}

void limits() {
  const int64_t huge = std::numeric_limits<int64_t>::max(), half = int64_t{1} << 32;
  const Tensor six = make<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3}, DType::int32), none = make<int32_t>({}, {0}, DType::int32);
  const Tensor one = make<int32_t>({7}, {1}, DType::int32);
  // 2^32 x 2^32 wraps to 0 elements in 64 bits.
  throws(ErrorCode::OUT_OF_MEMORY, "reshape of nothing to 2^64", [&] { reshape(none, {half, half}); });
  throws(ErrorCode::OUT_OF_MEMORY, "expand to 2^64", [&] { expand(one, {half, half}); });
  throws(ErrorCode::OUT_OF_MEMORY, "full of 0 x 2^126", [&] { full({0, huge, huge}, 0, DType::float32, cpuDevice()); });
  throws(ErrorCode::OUT_OF_MEMORY, "pad by 2^63", [&] { pad(six, {huge, huge}, {huge, huge}, 0); });
  throws(ErrorCode::OUT_OF_MEMORY, "cat of 2^49", [&] {
    const Tensor wide = expand(one, {int64_t{1} << 47});
    cat({wide, wide, wide, wide}, 0);
  });
  throws(ErrorCode::SHAPE_MISMATCH, "add_ of a longer tensor", [&] { addInPlace(one, six); });
  throws(ErrorCode::SHAPE_MISMATCH, "add_ of 2 to 3", [&] { addInPlace(select(six, 0, 0), select(six, 1, 0)); });
  throws(ErrorCode::INVALID_ARGUMENT, "add_ to an expanded tensor", [&] { addInPlace(expand(one, {3}), select(six, 0, 0)); });
  throws(ErrorCode::INVALID_ARGUMENT, "fill_ of an expanded tensor", [&] { fillInPlace(expand(one, {3}), 1); });
  throws(ErrorCode::INVALID_ARGUMENT, "viewBytes of a negative size",
         [&] { viewBytes(full({8}, 0, DType::uint8, cpuDevice()), 0, DType::uint8, {-1}); });
  CHECK(valuesOf<int32_t>(slice(six, 1, 1, huge, huge)) == (std::vector<int32_t>{2, 5}), "a slice with a huge step");
  CHECK(valuesOf<int32_t>(slice(six, 1, -huge, huge, 2)) == (std::vector<int32_t>{1, 3, 4, 6}), "a slice with huge bounds");
}

}  // namespace

int main() {
  Environment environment(false);
  const Environment::Scope scope(environment);
  viewsAgainstModel();
  moves();
  transposes<uint8_t>(DType::uint8);
  transposes<uint16_t>(DType::bfloat16);
  transposes<int32_t>(DType::int32);
  transposes<int64_t>(DType::int64);
  overlaps();
  limits();
  return check::report("shape_test");
}
