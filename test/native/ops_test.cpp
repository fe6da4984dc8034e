// Every op of ops.def that takes tensors or makes them, with random and hostile arguments: it answers or throws a coded error, leaves its
// inputs alone, and gives the same whatever the memory layout of its operands. Then the edges that have defined answers.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <tuple>

#include "ops/families.h"
#include "tensors.h"

using namespace quanto;
using namespace check;

namespace {

// What arguments are drawn from. Tensors and shapes often follow the one before, so that calls are often valid.
struct Source {
  Random random;
  Shape shape = {2, 3};
  DType dtype = DType::float32;

  bool chance(int64_t in) { return below(random, in) == 0; }

  int64_t integer() {
    // Nothing between 6 and 2^48: sizes either fit in a test or in no machine.
    static constexpr int64_t kHostile[] = {INT64_MAX,        INT64_MIN,           INT64_MAX - 1,   int64_t{1} << 62,
                                           int64_t{1} << 53, -(int64_t{1} << 53), int64_t{1} << 48};
    return chance(8) ? kHostile[below(random, std::ssize(kHostile))] : below(random, 8) - 2;
  }

  double number() {
    static constexpr double kHostile[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300, 1e-300, 1e19, -0.0};
    return chance(4) ? kHostile[below(random, std::ssize(kHostile))] : static_cast<double>(below(random, 9) - 4) / 2;
  }

  Shape sizes() {
    if (chance(3)) return shape;
    Shape drawn;
    const int64_t kind = below(random, 3);
    const int64_t count = kind == 0 ? 2 : below(random, 5);
    for (int64_t i = 0; i < count; ++i) drawn.push(kind == 2 ? integer() : kind == 1 ? below(random, 4) : 1 + below(random, 2));
    return drawn;
  }

  Tensor tensor() {
    if (!chance(2)) shape = randomShape(random, static_cast<int>(below(random, 5)), 5);
    if (chance(2)) dtype = static_cast<DType>(below(random, kDTypeCount));
    if (chance(40)) return ops::packWeight(filled(randomShape(random, 2, 20), DType::int8));
    return filled(shape, dtype);
  }

 private:
  Tensor filled(const Shape& sizes, DType type) { return halves(random, sizes, type, chance(10)); }
};

// A parameter of an op: how it is held, and drawn.
template <class T>
struct Parameter {
  using Held = T;
};
template <>
struct Parameter<Device> {
  using Held = std::reference_wrapper<Device>;
};

template <class T>
typename Parameter<T>::Held draw(Source& source) {
  if constexpr (std::is_same_v<T, Tensor>) return source.tensor();
  else if constexpr (std::is_same_v<T, std::optional<Tensor>>) return source.chance(2) ? std::optional(source.tensor()) : std::nullopt;
  else if constexpr (std::is_same_v<T, std::vector<Tensor>>) {
    std::vector<Tensor> tensors;
    for (int64_t count = below(source.random, 4); count > 0; --count) tensors.push_back(source.tensor());
    return tensors;
  } else if constexpr (std::is_same_v<T, Shape>) return source.sizes();
  else if constexpr (std::is_same_v<T, int64_t>) return source.integer();
  else if constexpr (std::is_same_v<T, double>) return source.number();
  else if constexpr (std::is_same_v<T, bool>) return source.chance(2);
  else if constexpr (std::is_same_v<T, DType>) return static_cast<DType>(below(source.random, kDTypeCount));
  else return std::ref(cpuDevice());
}

template <class T>
inline constexpr bool isTensors =
    std::is_same_v<T, Tensor> || std::is_same_v<T, std::optional<Tensor>> || std::is_same_v<T, std::vector<Tensor>>;

// Calls visit(tensor) for every tensor of a value.
template <class T, class Visit>
void eachTensor(T& value, Visit&& visit) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, Tensor>) visit(value);
  else if constexpr (std::is_same_v<std::remove_const_t<T>, std::optional<Tensor>>) {
    if (value) visit(*value);
  } else if constexpr (std::is_same_v<std::remove_const_t<T>, std::vector<Tensor>>) {
    for (auto& tensor : value) visit(tensor);
  }
}

// What a call left: the error, or the values of its results; and the values of its operands after it.
struct Outcome {
  std::string error;
  std::vector<Tensor> results, operands;
};

template <class Result, class... Parameters, class Held>
Outcome callWith(const char* name, Result (*function)(Parameters...), Held& held) {
  Outcome outcome;
  try {
    if constexpr (std::is_void_v<Result>) {
      std::apply(function, held);
    } else {
      const Result result = std::apply(function, held);
      eachTensor(result, [&](const Tensor& tensor) {
        // Values are computed in stream order, and errors in them belong to the call.
        if (!tensor.packed() && tensor.numel() < 1000000) bytesOf(tensor);
        outcome.results.push_back(tensor);
      });
    }
  } catch (const Error& error) {
    outcome.error = error.what();
    CHECK(outcome.error.starts_with("["), "%s: the message '%s' names no op", name, error.what());
  } catch (const std::exception& error) {
    CHECK(false, "%s: an error without a code: %s", name, error.what());
  }
  std::apply([&](auto&... value) { (eachTensor(value, [&](Tensor& tensor) { outcome.operands.push_back(tensor); }), ...); }, held);
  return outcome;
}

// Ops whose answer is about the layout.
bool asksForLayout(const std::string& name) {
  static const std::set<std::string> kNames = {"view", "viewBytes", "stridesOf", "isContiguous"};
  return kNames.contains(name);
}

template <class Result, class... Parameters>
void tryOp(const char* name, Result (*function)(Parameters...), Source& source, int& answered) {
  if constexpr (((isTensors<std::remove_cvref_t<Parameters>> || std::is_same_v<Parameters, Device&>) || ...) &&
                !(std::is_same_v<std::remove_cvref_t<Parameters>, ops::Bytes> || ...)) {
    const std::tuple<typename Parameter<std::remove_cvref_t<Parameters>>::Held...> drawn{draw<std::remove_cvref_t<Parameters>>(source)...};
    const auto copied = [&drawn](auto&& copy) {
      auto held = drawn;
      std::apply(
          [&](auto&... value) { (eachTensor(value, [&](Tensor& tensor) { tensor = tensor.packed() ? tensor : copy(tensor); }), ...); },
          held);
      return held;
    };
    auto plain = copied([](const Tensor& tensor) { return ops::clone(tensor); });
    auto scattered = copied([&](const Tensor& tensor) { return scatterInMemory(source.random, tensor); });
    const Outcome first = callWith(name, function, plain);
    if (first.error.empty()) ++answered;
    if constexpr (!std::is_void_v<Result>) {
      std::vector<Tensor> before;
      std::apply([&](const auto&... value) { (eachTensor(value, [&](const Tensor& tensor) { before.push_back(tensor); }), ...); }, drawn);
      for (size_t i = 0; i < before.size(); ++i) CHECK(alike(before[i], first.operands[i]), "%s changed its operand %zu", name, i);
    }
    // Random numbers go on from call to call.
    if constexpr ((isTensors<std::remove_cvref_t<Parameters>> || ...)) {
      const Outcome second = callWith(name, function, scattered);
      // In-place ops may refuse a layout.
      if (asksForLayout(name) || (std::is_void_v<Result> && !second.error.empty())) return;
      CHECK(first.error.empty() == second.error.empty(), "%s depends on the layout: '%s' or '%s'", name, first.error.c_str(),
            second.error.c_str());
      for (size_t i = 0; i < std::min(first.results.size(), second.results.size()); ++i)
        CHECK(alike(first.results[i], second.results[i]), "%s: result %zu of shape %s depends on the layout", name, i,
              first.results[i].shape().str().c_str());
      for (size_t i = 0; i < first.operands.size(); ++i)
        CHECK(alike(first.operands[i], second.operands[i]), "%s: operand %zu after the call depends on the layout", name, i);
    }
  }
}

void everyOp(uint64_t seed, int rounds) {
  int answered = 0;
#define OP(function, parameters)                                                                     \
  {                                                                                                  \
    Source source{Random(seed * 1000003 + static_cast<uint64_t>(__LINE__))};                         \
    for (int round = 0; round < rounds; ++round) tryOp(#function, &ops::function, source, answered); \
  }
#include "ops.def"
#undef OP
  CHECK(answered > rounds * 20, "only %d calls were valid", answered);
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

Tensor floats(const std::vector<float>& values, const Shape& shape) { return make(values, shape, DType::float32); }
int64_t number(ReduceOp op) { return static_cast<int64_t>(op); }

bool equal(const Tensor& tensor, const Shape& shape, const std::vector<float>& expected) {
  if (!(tensor.shape() == shape)) return false;
  const auto values = valuesOf<float>(tensor);
  for (size_t i = 0; i < expected.size(); ++i)
    if (!(values[i] == expected[i] || (values[i] != values[i] && expected[i] != expected[i]))) return false;
  return values.size() == expected.size();
}

void reductions() {
  const Tensor none = floats({}, {2, 0}), six = floats({1, 2, 3, 4, 5, 6}, {2, 3}), one = floats({-7}, {});
  CHECK(equal(ops::reduce(number(ReduceOp::sum), none, {1}, false, 0), {2}, {0, 0}), "the sum of nothing is not 0");
  CHECK(equal(ops::reduce(number(ReduceOp::mean), none, {}, false, 0), {}, {NAN}), "the mean of nothing is not NaN");
  CHECK(equal(ops::reduce(number(ReduceOp::logsumexp), none, {1}, true, 0), {2, 1}, {-INFINITY, -INFINITY}),
        "the logsumexp of nothing is not -infinity");
  CHECK(equal(ops::reduce(number(ReduceOp::max), none, {0}, false, 0), {0}, {}), "the maximum over 2 of nothing is not empty");
  throws(ErrorCode::INVALID_ARGUMENT, "the maximum of nothing", [&] { ops::reduce(number(ReduceOp::max), none, {1}, false, 0); });
  throws(ErrorCode::INVALID_ARGUMENT, "argmin of nothing", [&] { ops::argReduce(number(ReduceOp::min), none, 1, false); });
  throws(ErrorCode::INVALID_ARGUMENT, "an axis named twice", [&] { ops::reduce(number(ReduceOp::sum), six, {1, -1}, false, 0); });
  CHECK(equal(ops::reduce(number(ReduceOp::absmax), one, {0}, true, 0), {}, {7}), "absmax of a 0-d tensor");
  CHECK(equal(ops::reduce(number(ReduceOp::sum), six, {-2, 1}, true, 0), {1, 1}, {21}), "a sum over both axes");
  CHECK(ops::reduce(number(ReduceOp::sum), ops::toDType(six, DType::int8), {}, false, 0).dtype() == DType::int64, "int8 sums in int8");
  CHECK(equal(ops::cumsum(six, 0), {2, 3}, {1, 2, 3, 5, 7, 9}), "cumsum along the first axis");
  CHECK(equal(ops::softmax(one, 0), {}, {1}), "softmax of a 0-d tensor");
}

void scales() {
  const Tensor six = floats({1, -2, 3, -4, 5, 6}, {2, 3});
  CHECK(equal(ops::absmaxScale(six, {}, 2), {}, {3}), "a scale for the whole tensor");
  CHECK(equal(ops::absmaxScale(six, {0}, 2), {2, 1}, {1.5, 3}), "a scale for each row");
  CHECK(equal(ops::absmaxScale(six, {-1}, 2), {1, 3}, {2, 2.5, 3}), "a scale for each column");
  CHECK(equal(ops::absmaxScale(six, {0, 1}, 2), {2, 3}, {0.5, 1, 1.5, 2, 2.5, 3}), "a scale for each element");
  throws(ErrorCode::INVALID_ARGUMENT, "a qmax of NaN", [&] { ops::absmaxScale(six, {}, NAN); });
  throws(ErrorCode::SHAPE_MISMATCH, "a scale larger than the tensor", [&] {
    ops::quantize(floats({1}, {1}), floats({1, 2}, {2}), DType::int8);
  });
  throws(ErrorCode::DTYPE_MISMATCH, "codes of int32", [&] { ops::quantize(six, floats({1}, {}), DType::int32); });
}

void windows() {
  const Tensor image = floats({1, 2, 3, 4}, {1, 2, 2}), weight = floats({1, 1, 1, 1}, {1, 1, 2, 2});
  const int64_t huge = std::numeric_limits<int64_t>::max(), most = (int64_t{1} << 31) - 1;
  CHECK(equal(ops::conv2d(image, weight, std::nullopt, {1, 1}, {0, 0}, {1, 1}, 1), {1, 1, 1}, {10}), "a convolution of one window");
  const auto conv = [&](const Shape& stride, const Shape& padding, const Shape& dilation, int64_t groups) {
    return ops::conv2d(image, weight, std::nullopt, stride, padding, dilation, groups);
  };
  CHECK(equal(conv({most, most}, {1, 1}, {1, 1}, 1), {1, 1, 1}, {1}), "a stride beyond the image");
  throws(ErrorCode::INVALID_ARGUMENT, "a huge stride", [&] { conv({huge, 1}, {0, 0}, {1, 1}, 1); });
  throws(ErrorCode::INVALID_ARGUMENT, "a negative padding", [&] { conv({1, 1}, {-1, 0}, {1, 1}, 1); });
  throws(ErrorCode::INVALID_ARGUMENT, "no dilation", [&] { conv({1, 1}, {0, 0}, {0, 0}, 1); });
  throws(ErrorCode::SHAPE_MISMATCH, "a dilation beyond the image", [&] { conv({1, 1}, {0, 0}, {most, most}, 1); });
  throws(ErrorCode::OUT_OF_MEMORY, "a padding beyond memory", [&] { conv({1, 1}, {most, most}, {1, 1}, 1); });
  throws(ErrorCode::SHAPE_MISMATCH, "groups that do not divide", [&] { conv({1, 1}, {0, 0}, {1, 1}, huge); });
  throws(ErrorCode::INVALID_ARGUMENT, "no groups", [&] { conv({1, 1}, {0, 0}, {1, 1}, 0); });

  const auto pooled = ops::maxPool2d(image, {2, 2}, {1, 1}, {1, 1}, {1, 1});
  CHECK(equal(pooled[0], {1, 3, 3}, {1, 2, 2, 3, 4, 4, 3, 4, 4}), "padding won a maximum");
  CHECK(equal(ops::maxPool2dBackward(floats({1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 3, 3}), pooled[1], {1, 2, 2}), {1, 2, 2}, {1, 2, 2, 4}),
        "gradients of the maxima");
  // Windows at -1 and 2, and both lie outside a 1 x 1 image.
  throws(ErrorCode::INVALID_ARGUMENT, "a dilated window beside the image", [&] {
    ops::maxPool2d(floats({1, 1}, {1, 1, 2}), {1, 2}, {1, 1}, {0, 1}, {1, 3});
  });
  throws(ErrorCode::INVALID_ARGUMENT, "a padding beyond half the kernel", [&] { ops::avgPool2d(image, {2, 2}, {1, 1}, {2, 2}, true); });
  throws(ErrorCode::SHAPE_MISMATCH, "a pool of nothing", [&] { ops::adaptiveAvgPool2d(floats({}, {1, 0, 2}), {1, 1}); });
  throws(ErrorCode::SHAPE_MISMATCH, "a gradient of another shape", [&] {
    ops::conv2dBackwardInput(image, weight, {1, 2, 2}, {1, 1}, {0, 0}, {1, 1}, 1);
  });
  throws(ErrorCode::INVALID_ARGUMENT, "a negative source shape", [&] { ops::maxPool2dBackward(pooled[0], pooled[1], {1, -2, 2}); });
  // Indices are data: checked by the kernel.
  throws(ErrorCode::INDEX_OUT_OF_RANGE, "an index outside the plane", [&] {
    const Tensor outside = make<int64_t>({INT64_MIN}, {1, 1, 1}, DType::int64);
    bytesOf(ops::maxPool2dBackward(floats({1}, {1, 1, 1}), outside, {1, 2, 2}));
  });
}

void randomNumbers() {
  const auto sample = [] { return valuesOf<float>(ops::uniform({100}, -1, 3, DType::float32, cpuDevice())); };
  ops::manualSeed(5);
  const auto first = sample(), second = sample();
  ops::manualSeed(5);
  CHECK(sample() == first && sample() == second && first != second, "a seed does not fix the numbers");
  throws(ErrorCode::INVALID_ARGUMENT, "bounds in the wrong order", [] { ops::uniform({1}, 2, 1, DType::float32, cpuDevice()); });
  throws(ErrorCode::INVALID_ARGUMENT, "bounds of NaN", [] { ops::uniform({1}, NAN, 1, DType::float32, cpuDevice()); });
  throws(ErrorCode::INVALID_ARGUMENT, "integers beyond int8", [] { ops::randint(0, 200, {1}, DType::int8, cpuDevice()); });
  throws(ErrorCode::INVALID_ARGUMENT, "no integers", [] { ops::randint(3, 3, {1}, DType::int64, cpuDevice()); });
  const auto wide = valuesOf<int64_t>(ops::randint(INT64_MIN, INT64_MAX, {100}, DType::int64, cpuDevice()));
  CHECK(std::set<int64_t>(wide.begin(), wide.end()).size() > 90, "the widest range repeats itself");
}

void updates() {
  const Tensor parameter = floats({1, 2}, {2}), gradient = floats({1, 1}, {2}), state = floats({0, 0}, {2});
  ops::sgdStep(parameter, gradient, std::nullopt, 0.5, 0, 0, 0, false, true);
  CHECK(equal(parameter, {2}, {0.5, 1.5}), "a step without momentum");
  ops::sgdStep(parameter, gradient, state, 0.5, 0, 0.9, 0, false, false);
  CHECK(equal(parameter, {2}, {0, 1}) && equal(state, {2}, {0, 0}), "a buffer without momentum had an effect");
  // The gradient is a window on the parameter's own memory.
  const Tensor both = floats({1, 2, 3}, {3});
  ops::sgdStep(ops::slice(both, 0, 1, 3, 1), ops::slice(both, 0, 0, 2, 1), std::nullopt, 1, 0, 0, 0, false, true);
  CHECK(equal(both, {3}, {1, 1, 1}), "an overlapping gradient was read after it had changed");
  throws(ErrorCode::INVALID_ARGUMENT, "momentum without a buffer",
         [&] { ops::sgdStep(parameter, gradient, std::nullopt, 0.1, 0.9, 0, 0, false, true); });
  throws(ErrorCode::INVALID_ARGUMENT, "step 0",
         [&] { ops::adamStep(parameter, gradient, state, state, 0.1, 0.9, 0.99, 1e-8, 0, false, 0); });
  throws(ErrorCode::INVALID_ARGUMENT, "a strided parameter", [&] {
    ops::adadeltaStep(ops::slice(floats({1, 2, 3}, {3}), 0, 0, 3, 2), gradient, state, state, 1, 0.9, 1e-6, 0);
  });
}

}  // namespace

// ops_test [seed [rounds]]
int main(int count, char** arguments) {
  Environment environment(false);
  const Environment::Scope scope(environment);
  everyOp(count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1, count > 2 ? std::atoi(arguments[2]) : 150);
  reductions();
  scales();
  windows();
  randomNumbers();
  updates();
  return check::report("ops_test");
}
