// The fused linear layer of integers against the separate kernels, bit for bit, under every instruction set of the machine.
#include <vector>

#include "check.h"
#include "cpu/backend.h"
#include "cpu/kernels.h"
#include "every_isa.h"
#include "test_tensor.h"

using namespace quanto;
using test::kFloats;
using test::onThreads;
using test::Order;
using test::Tensor;

namespace {

check::Random random_(7);

struct Sizes {
  int64_t m, n, k;
};
constexpr Sizes kSizes[] = {{1, 1, 1},    {1, 127, 65}, {7, 15, 17},    {15, 17, 33}, {17, 33, 50}, {33, 50, 63}, {50, 63, 65},
                            {65, 127, 7}, {127, 1, 15}, {16, 32, 1030}, {0, 3, 4},    {2, 0, 4},    {2, 3, 0},    {40, 600, 700}};

enum class Input { codes, codesPerRow, fixed, dynamic };

constexpr UnaryOp kFunctions[] = {UnaryOp::relu, UnaryOp::relu, UnaryOp::gelu, UnaryOp::geluTanh, UnaryOp::silu};

// absmax / 127 of each row, by the kernels that absmaxScale uses.
Tensor rowScales(const Tensor& src, int64_t m) {
  Tensor largest(src.dtype(), {m}), scale(src.dtype(), {m});
  cpu::reduce(nullptr, static_cast<int32_t>(ReduceOp::absmax), src, largest, 1, 0);
  cpu::binaryScalar(nullptr, static_cast<int32_t>(BinaryOp::div), largest, 127, 0, scale);
  return scale;
}

void fusedCase(const Sizes& size, Input input, DType srcType, DType scaleType, Activation activation, bool requantizes, Order order) {
  const auto [m, n, k] = size;
  Tensor weight(DType::int8, {n, k}), scale(scaleType, {n > 2 ? n : 1}), bias(scaleType, {n});
  weight.fill([&](int64_t) { return double(random_.code()); });
  scale.fill([&](int64_t) { return 0.002 + 0.002 * std::fabs(random_.symmetric()); });
  bias.randomize(random_);
  const View* summand = random_.bits() % 3 ? static_cast<const View*>(bias) : nullptr;

  const bool real = input == Input::fixed || input == Input::dynamic;
  Tensor src(real ? srcType : DType::int8, {m, k}, order), codes(DType::int8, {m, k});
  Tensor srcScale(srcType, {input == Input::codesPerRow ? m : 1});
  srcScale.fill([&](int64_t) { return 0.01 + 0.01 * std::fabs(random_.symmetric()); });
  if (real) {
    // A row of zeros, and values that are not finite, among the others.
    src.fill([&, k = k](int64_t i) {
      return i / std::max<int64_t>(k, 1) % 5 == 4 ? 0 : i % 97 == 13 ? INFINITY : i % 89 == 7 ? NAN : 3 * random_.symmetric();
    });
  } else {
    src.fill([&](int64_t) { return double(random_.code()); });
  }

  // One by one.
  Tensor perRow = input == Input::dynamic ? rowScales(src, m) : srcScale;
  if (real) {
    View spread = *static_cast<const View*>(perRow);
    spread.ndim = 2;
    spread.shape[0] = m, spread.shape[1] = k;
    spread.strides[0] = input == Input::dynamic ? 1 : 0, spread.strides[1] = 0;
    CHECK(cpu::quantize(nullptr, src, &spread, codes) == Status::ok, "quantize failed");
  }
  const View* operand = real ? codes : src;
  Tensor values(scaleType, {m, n}), activated(scaleType, {m, n});
  CHECK(cpu::linearInt8(nullptr, operand, perRow, weight, scale, summand, nullptr, values, 0) == Status::ok, "linearInt8 failed");
  const View* result = values;
  if (activation != Activation::none) {
    cpu::unary(nullptr, static_cast<int32_t>(kFunctions[static_cast<int>(activation)]), values, activated, 0, 0);
    result = activated;
  }
  Tensor outScale(scaleType, {1}), expected(requantizes ? DType::int8 : scaleType, {m, n});
  outScale.set(0, 0.031);
  if (requantizes) {
    View everywhere = *static_cast<const View*>(outScale);
    everywhere.ndim = 2;
    everywhere.shape[0] = m, everywhere.shape[1] = n;
    everywhere.strides[0] = everywhere.strides[1] = 0;
    cpu::quantize(nullptr, result, &everywhere, expected);
  } else {
    cpu::copy(nullptr, result, expected);
  }

  // In one call, from the row-major and the packed weight.
  Tensor packed(DType::uint8, {static_cast<int64_t>(cpu::cpuBackend()->packedBytes(n, k))});
  cpu::packWeight(nullptr, weight, packed);
  View opaque = *static_cast<const View*>(weight);
  opaque.data = packed.view().data;
  opaque.layout = Layout::packed;
  const View* given = input == Input::dynamic ? nullptr : static_cast<const View*>(srcScale);
  const View* codeScale = requantizes ? static_cast<const View*>(outScale) : nullptr;
  for (const View* form : {static_cast<const View*>(weight), static_cast<const View*>(&opaque)}) {
    Tensor out(expected.dtype(), {m, n}, order == Order::strided ? Order::strided : Order::dense);
    onThreads("fused linearInt8", out, [&](Tensor& target) {
      return cpu::linearInt8(nullptr, src, given, form, scale, summand, codeScale, target, static_cast<int32_t>(activation));
    });
    int64_t i = 0;
    while (i < m * n && (out[i] == expected[i] || (out[i] != out[i] && expected[i] != expected[i]))) ++i;
    const bool same = i == m * n;
    CHECK(same, "fused linearInt8 m=%ld n=%ld k=%ld input %d (%s) activation %d scale %s requantizes %d: at %ld %.9g expected %.9g",
          long(m), long(n), long(k), int(input), info(srcType).name, int(activation), info(scaleType).name, int(requantizes), long(i),
          same ? 0 : out[i], same ? 0 : expected[i]);
  }
}

void everyCombination() {
  int index = 0;
  for (const Sizes& size : kSizes) {
    for (const Input input : {Input::codes, Input::codesPerRow, Input::fixed, Input::dynamic}) {
      for (const DType dtype : kFloats) {
        for (const bool requantizes : {false, true}) {
          ++index;
          fusedCase(size, input, dtype, kFloats[index % 3], static_cast<Activation>(index % 5), requantizes,
                    index % 2 ? Order::dense : Order::strided);
          fusedCase(size, input, dtype, dtype, Activation::none, requantizes, Order::dense);
        }
      }
    }
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  everyCombination();
  return check::report("linear_int8_test");
}
